//! What the calls of EC2, Lambda, ECS, ECR and the Systems Manager agent carry.

use crate::dice::Dice;
use crate::lake::calls::{Access, Row};
use crate::lake::record::uuid;
use crate::lake::shapes::{Parts, Scene, name, request, role_name};
use crate::lake::world::{STAGES, TEAMS, person};

pub fn function_arn(scene: &Scene, dice: &mut Dice) -> String {
    scene.arn("lambda", &format!("function:{}", name(&mut scene.thing(dice, "function"))))
}

pub fn invoke(scene: &Scene, dice: &mut Dice) -> Parts {
    let function = function_arn(scene, dice);
    Parts {
        additional: format!(r#"{{"functionVersion":"{function}:$LATEST"}}"#),
        resources: vec![("AWS::Lambda::Function", function.clone())],
        ..request(format!(
            r#"{{"functionName":"{function}","invocationType":"{}"}}"#,
            dice.pick(&["Event", "RequestResponse", "RequestResponse"])
        ))
    }
}

pub fn function_call(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let function = function_arn(scene, dice);
    let response = match row.access {
        Access::Write => format!(
            r#"{{"functionName":"{function}","functionArn":"{function}","runtime":"{}","role":"arn:aws:iam::{}:role/{}","handler":"app.handler","codeSize":{},"description":"","timeout":30,"memorySize":{},"codeSha256":"{}=","version":"$LATEST","revisionId":"{}","environment":{{}},"tracingConfig":{{"mode":"Active"}},"state":"Active","lastUpdateStatus":"InProgress","packageType":"Zip","architectures":["arm64"],"ephemeralStorage":{{"size":512}}}}"#,
            dice.pick(&["python3.12", "nodejs22.x", "provided.al2023"]),
            scene.account,
            role_name(scene, dice),
            dice.below(50_000_000),
            128 << dice.below(5),
            dice.base64(43),
            uuid(dice),
        ),
        _ => "null".to_owned(),
    };
    Parts { response, ..request(format!(r#"{{"functionName":"{function}"}}"#)) }
}

fn instance(scene: &Scene, dice: &mut Dice) -> String {
    format!("i-0{}", scene.thing(dice, "instance").hex(16))
}

pub fn agent(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let instance = instance(scene, dice);
    match row.name {
        "StartSession" => Parts {
            response: format!(
                r#"{{"sessionId":"{}-{}","tokenValue":"Value hidden due to security reasons.","streamUrl":"wss://ssmmessages.{}.amazonaws.com/v1/data-channel/{}"}}"#,
                person(dice),
                dice.hex(17),
                scene.region,
                dice.hex(17)
            ),
            ..request(format!(r#"{{"target":"{instance}"}}"#))
        },
        "ListInstanceAssociations" => {
            request(format!(r#"{{"instanceId":"{instance}","maxResults":20}}"#))
        }
        _ => request(format!(
            r#"{{"instanceId":"{instance}","agentVersion":"3.3.{}.0","agentStatus":"Active","platformType":"Linux","platformName":"Amazon Linux","platformVersion":"2023","iPAddress":"10.{}.{}.{}","computerName":"ip-10-0-0-1.{}.compute.internal","agentName":"amazon-ssm-agent","availabilityZone":"{}a","availabilityZoneId":"use1-az4","sSMConnectionChannel":"ssmmessages"}}"#,
            1_000 + dice.below(9),
            dice.below(4),
            dice.below(256),
            dice.below(256),
            scene.region,
            scene.region,
        )),
    }
}

pub fn instances(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let items: Vec<String> = (0..1 + dice.below(3))
        .map(|_| format!(r#"{{"instanceId":"{}"}}"#, instance(scene, dice)))
        .collect();
    let filter = match (row.access, dice.below(3)) {
        (Access::Read, 0) => {
            let tag = dice.pick(&TEAMS);
            return request(format!(
                r#"{{"instancesSet":{{}},"filterSet":{{"items":[{{"name":"tag:Team","valueSet":{{"items":[{{"value":"{tag}"}}]}}}},{{"name":"instance-state-name","valueSet":{{"items":[{{"value":"running"}}]}}}}]}},"maxResults":1000}}"#
            ));
        }
        (Access::Read, _) => r#","filterSet":{}"#,
        _ => "",
    };
    let response = match row.access {
        Access::Write => format!(
            r#"{{"requestId":"{}","instancesSet":{{"items":[{}]}}}}"#,
            uuid(dice),
            items
                .iter()
                .map(|item| format!(r#"{},"currentState":{{"code":32,"name":"shutting-down"}},"previousState":{{"code":16,"name":"running"}}}}"#, item.trim_end_matches('}')))
                .collect::<Vec<_>>()
                .join(",")
        ),
        _ => "null".to_owned(),
    };
    Parts {
        response,
        ..request(format!(r#"{{"instancesSet":{{"items":[{}]}}{filter}}}"#, items.join(",")))
    }
}

pub fn describe(scene: &Scene, dice: &mut Dice, set: &str, id: &str, prefix: &str) -> Parts {
    match dice.below(3) {
        0 => request(format!(r#"{{"{set}":{{}},"filterSet":{{}},"maxResults":500}}"#)),
        1 => request(format!(
            r#"{{"{set}":{{}},"filterSet":{{"items":[{{"name":"vpc-id","valueSet":{{"items":[{{"value":"vpc-0{}"}}]}}}}]}}}}"#,
            scene.thing(dice, "vpc").hex(16)
        )),
        _ => request(format!(
            r#"{{"{set}":{{"items":[{{"{id}":"{prefix}{}"}}]}},"filterSet":{{}}}}"#,
            scene.thing(dice, set).hex(16)
        )),
    }
}

pub fn tagging(scene: &Scene, dice: &mut Dice) -> Parts {
    Parts {
        response: format!(r#"{{"requestId":"{}","_return":true}}"#, uuid(dice)),
        ..request(format!(
            r#"{{"resourcesSet":{{"items":[{{"resourceId":"{}"}}]}},"tagSet":{{"items":[{{"key":"Team","value":"{}"}},{{"key":"Stage","value":"{}"}},{{"key":"Name","value":"{}"}}]}}}}"#,
            instance(scene, dice),
            dice.pick(&TEAMS),
            dice.pick(&STAGES),
            name(dice),
        ))
    }
}

pub fn service(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let cluster = scene.arn("ecs", &format!("cluster/{}", dice.pick(&STAGES)));
    let service = name(&mut scene.thing(dice, "service"));
    let task = scene.arn("ecs", &format!("task/prod/{}", scene.thing(dice, "task").hex(32)));
    match row.name {
        "DescribeTasks" => {
            request(format!(r#"{{"cluster":"{cluster}","tasks":["{task}"],"include":["TAGS"]}}"#))
        }
        "SubmitTaskStateChange" => Parts {
            response: r#"{"acknowledgment":"ACK"}"#.to_owned(),
            ..request(format!(
                r#"{{"cluster":"{cluster}","task":"{task}","status":"RUNNING","containers":[{{"containerName":"{service}","status":"RUNNING","networkBindings":[]}}]}}"#
            ))
        },
        _ => request(format!(r#"{{"cluster":"{cluster}","services":["{service}"]}}"#)),
    }
}

pub fn repository(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let mut thing = scene.thing(dice, "repository");
    let repository =
        format!("{}/{}", thing.pick(&TEAMS), thing.pick(&["api", "worker", "web", "etl"]));
    let digest = thing.hex(64);
    let rest = match row.name {
        "GetDownloadUrlForLayer" => format!(r#""layerDigest":"sha256:{digest}""#),
        _ => format!(
            r#""imageIds":[{{"imageDigest":"sha256:{digest}"}}],"acceptedMediaTypes":["application/vnd.docker.distribution.manifest.v2+json","application/vnd.oci.image.manifest.v1+json"]"#
        ),
    };
    Parts {
        resources: vec![(
            "AWS::ECR::Repository",
            scene.arn("ecr", &format!("repository/{repository}")),
        )],
        ..request(format!(
            r#"{{"registryId":"{}","repositoryName":"{repository}",{rest}}}"#,
            scene.account
        ))
    }
}
