//! What S3's calls carry: a bucket, mostly a key, and how much was transferred.

use crate::dice::Dice;
use crate::lake::calls::{Access, Row};
use crate::lake::record::uuid;
use crate::lake::shapes::{Parts, Scene, key_arn, request};
use crate::lake::world::{STAGES, Stream, TEAMS};

pub fn bucket(scene: &Scene, dice: &mut Dice) -> String {
    // Buckets are named across Regions, and there are fewer of them than of other things.
    let index = scene.world.index(dice) % 120;
    let mut thing = scene.world.entity("bucket", Stream { region: 0, ..scene.stream }, index);
    let use_ = thing.pick(&["exports", "assets", "backups", "logs", "datalake", "artifacts"]);
    let team = thing.pick(&TEAMS);
    match thing.below(3) {
        0 => format!("{team}-{use_}-{}-{}", scene.account, thing.pick(&STAGES)),
        1 => format!("acme-{team}-{use_}-{}", thing.hex(8)),
        _ => format!("acme-{}-{team}-{use_}", thing.pick(&STAGES)),
    }
}

pub fn object(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let bucket = bucket(scene, dice);
    let key = object_key(scene, dice);
    let host = format!("{bucket}.s3.{}.amazonaws.com", scene.region);
    // As many small objects as large ones, on a logarithmic scale.
    let scale = 1 << (6 + dice.below(20));
    let bytes = 1 + dice.below(scale);
    let (bytes_in, bytes_out) = match row.access {
        Access::DataWrite => (bytes, 0),
        _ => (0, bytes),
    };
    let mut request = format!(r#"{{"bucketName":"{bucket}","Host":"{host}","key":"{key}""#);
    if row.name == "PutObject" && dice.happens(50) {
        request +=
            r#","x-amz-server-side-encryption":"aws:kms","x-amz-acl":"bucket-owner-full-control""#;
    }
    if row.name == "GetObject" && dice.happens(20) {
        let from = dice.below(1 << 30);
        request += &format!(r#","range":"bytes={from}-{}""#, from + 8_388_607);
    }
    request.push('}');
    let response = match row.access {
        Access::DataWrite if dice.happens(75) => {
            r#"{"x-amz-server-side-encryption":"AES256","x-amz-version-id":"null"}"#.to_owned()
        }
        Access::DataWrite if row.name == "PutObject" => format!(
            r#"{{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"{}","x-amz-server-side-encryption-bucket-key-enabled":"true"}}"#,
            key_arn(scene, dice)
        ),
        _ => "null".to_owned(),
    };
    Parts {
        request,
        response,
        additional: transfer(dice, bytes_in, bytes_out),
        resources: vec![
            ("AWS::S3::Object", format!("arn:aws:s3:::{bucket}/{key}")),
            ("AWS::S3::Bucket", format!("arn:aws:s3:::{bucket}")),
        ],
        request_id: Some(s3_request_id(dice)),
    }
}

fn object_key(scene: &Scene, dice: &mut Dice) -> String {
    let mut prefix = scene.thing(dice, "prefix");
    let team = prefix.pick(&TEAMS);
    match prefix.below(4) {
        0 => format!("{team}/config/{}.json", prefix.hex(8)),
        1 => format!(
            "warehouse/{team}/dt=2026-{:02}-{:02}/part-{:05}-{}.c000.snappy.parquet",
            1 + prefix.below(12),
            1 + prefix.below(28),
            dice.below(400),
            uuid(&mut prefix),
        ),
        2 => format!("uploads/{team}/{}/{}.jpg", prefix.hex(6), uuid(dice)),
        _ => format!(
            "logs/{team}/2026/{:02}/{:02}/{:02}/{}.log.gz",
            1 + prefix.below(12),
            1 + prefix.below(28),
            dice.below(24),
            dice.hex(12)
        ),
    }
}

/// What S3 adds to every object call.
fn transfer(dice: &mut Dice, bytes_in: u64, bytes_out: u64) -> String {
    format!(
        r#"{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":{bytes_in},"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{}=","bytesTransferredOut":{bytes_out}}}"#,
        dice.base64(75)
    )
}

fn s3_request_id(dice: &mut Dice) -> String {
    dice.text(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 16)
}

pub fn listing(scene: &Scene, dice: &mut Dice) -> Parts {
    let bucket = bucket(scene, dice);
    let prefix = dice.pick(&TEAMS);
    Parts {
        additional: transfer(dice, 0, 300),
        resources: vec![("AWS::S3::Bucket", format!("arn:aws:s3:::{bucket}"))],
        request_id: Some(s3_request_id(dice)),
        ..request(format!(
            r#"{{"list-type":"2","bucketName":"{bucket}","encoding-type":"url","prefix":"{prefix}/","delimiter":"/","Host":"{bucket}.s3.{}.amazonaws.com"}}"#,
            scene.region
        ))
    }
}

pub fn bucket_call(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let bucket = bucket(scene, dice);
    let question = row.name.trim_start_matches("GetBucket").trim_start_matches("PutBucket");
    let question = question.to_lowercase();
    Parts {
        additional: transfer(dice, 0, 137),
        resources: vec![("AWS::S3::Bucket", format!("arn:aws:s3:::{bucket}"))],
        request_id: Some(s3_request_id(dice)),
        ..request(format!(
            r#"{{"bucketName":"{bucket}","Host":"{bucket}.s3.{}.amazonaws.com","{question}":""}}"#,
            scene.region
        ))
    }
}
