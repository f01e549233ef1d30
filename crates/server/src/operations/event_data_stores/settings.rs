//! What CreateEventDataStore and UpdateEventDataStore may ask for, checked and merged over what is.

use api::cloudtrail::AdvancedEventSelector as ApiSelector;
use api::{ApiError, ErrorCode};
use catalog::{BillingMode, EventDataStoreState};
use event::selectors::{EventSelectors, StoreClass};

use crate::operations::trails::converted;

/// The members that both operations share; `None` keeps what is, or takes AWS's default.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub selectors: Option<Vec<ApiSelector>>,
    pub multi_region: Option<bool>,
    pub retention_days: Option<i32>,
    pub termination_protection: Option<bool>,
    pub kms_key_id: Option<String>,
    pub billing_mode: Option<String>,
}

/// What a request comes to.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub selectors: EventSelectors,
    pub class: StoreClass,
    pub multi_region: bool,
    pub retention_days: u32,
    pub termination_protection: bool,
    pub billing_mode: BillingMode,
    pub organization: Option<String>,
}

/// The settings that result from a request, or AWS's error for the first member that is wrong.
/// `organization` is the one of which the store is to be.
pub fn resolved(
    before: Option<&EventDataStoreState>,
    wanted: Wanted,
    organization: Option<&str>,
) -> Result<Resolved, ApiError> {
    if wanted.kms_key_id.as_deref().is_some_and(|key| !key.is_empty()) {
        return Err(ApiError::new(
            ErrorCode::KmsException,
            "Encryption with KMS keys is not in this version of Cairn. Leave KmsKeyId out.",
        ));
    }
    let (selectors, class) = resolved_selectors(before, wanted.selectors)?;
    // User guide: an organization event data store cannot collect events from outside AWS.
    if organization.is_some() && class == StoreClass::Activity {
        return Err(ApiError::new(
            ErrorCode::InvalidParameterException,
            "An event data store of events from outside AWS is of one account: leave OrganizationEnabled out.",
        ));
    }
    let billing_mode = resolved_billing_mode(before, wanted.billing_mode.as_deref())?;
    let retention_days = match (wanted.retention_days, before) {
        (Some(days), _) => checked_retention(days, billing_mode)?,
        (None, Some(before)) => before.retention_days,
        (None, None) => default_retention_days(billing_mode),
    };
    let keep = |wanted: Option<bool>, is: fn(&EventDataStoreState) -> bool| {
        wanted.unwrap_or_else(|| before.is_none_or(is))
    };
    Ok(Resolved {
        selectors,
        class,
        multi_region: keep(wanted.multi_region, |before| before.multi_region),
        retention_days,
        termination_protection: keep(wanted.termination_protection, |before| {
            before.termination_protection
        }),
        billing_mode,
        organization: organization.map(str::to_owned),
    })
}

fn resolved_selectors(
    before: Option<&EventDataStoreState>,
    wanted: Option<Vec<ApiSelector>>,
) -> Result<(EventSelectors, StoreClass), ApiError> {
    let invalid = |e: String| ApiError::new(ErrorCode::InvalidEventSelectorsException, e);
    let selectors = match (wanted, before) {
        (Some(wanted), _) => EventSelectors::Advanced(converted(&wanted)?),
        (None, Some(before)) => return Ok((before.selectors.clone(), before.class)),
        (None, None) => EventSelectors::default_for_event_data_store(),
    };
    let class = selectors.validate_for_event_data_store().map_err(|e| invalid(e.to_string()))?;
    if before.is_some_and(|before| before.class != class) {
        return Err(invalid(
            "The eventCategory values of an event data store cannot be replaced by those of another kind of event.".to_owned(),
        ));
    }
    Ok((selectors, class))
}

/// AWS: a store can leave the fixed price, but not come back to it.
fn resolved_billing_mode(
    before: Option<&EventDataStoreState>,
    wanted: Option<&str>,
) -> Result<BillingMode, ApiError> {
    use BillingMode::{ExtendableRetention, FixedRetention};
    let wanted = match wanted {
        Some("FIXED_RETENTION_PRICING") => Some(FixedRetention),
        // The model admits no third value.
        Some(_) => Some(ExtendableRetention),
        None => None,
    };
    match (before.map(|before| before.billing_mode), wanted) {
        (Some(ExtendableRetention), Some(FixedRetention)) => Err(ApiError::new(
            ErrorCode::InvalidParameterException,
            "The billing mode cannot be changed from EXTENDABLE_RETENTION_PRICING to FIXED_RETENTION_PRICING.",
        )),
        (before, wanted) => Ok(wanted.or(before).unwrap_or(ExtendableRetention)),
    }
}

fn default_retention_days(billing_mode: BillingMode) -> u32 {
    match billing_mode {
        BillingMode::ExtendableRetention => 366,
        BillingMode::FixedRetention => 2557,
    }
}

fn checked_retention(days: i32, billing_mode: BillingMode) -> Result<u32, ApiError> {
    let (name, days_max) = match billing_mode {
        BillingMode::ExtendableRetention => ("EXTENDABLE_RETENTION_PRICING", 3653),
        BillingMode::FixedRetention => ("FIXED_RETENTION_PRICING", 2557),
    };
    u32::try_from(days).ok().filter(|days| (7..=days_max).contains(days)).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidParameterException,
            format!(
                "The retention period of an event data store with {name} is 7 to {days_max} days; {days} was given."
            ),
        )
    })
}
