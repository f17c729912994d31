//! Judgement of a request by its token, its user ids and the app's enforcement.

use super::{
    super::{app::Enforcement, local_braze::LocalBraze, switches::Switches},
    request::SdkRequest,
};
use crate::domain::verdict::{Against, ErrorCode, Verdict, judge};

/// Verdict on a request, with the app's enforcement.
pub(super) struct Judgement {
    enforcement: Enforcement,
    pub(super) code: Option<ErrorCode>,
    pub(super) text: Option<String>,
}

impl Judgement {
    /// Returns true if the request has no error, or the enforcement tolerates it.
    pub(super) fn is_accepted(&self) -> bool {
        self.code.is_none() || self.enforcement != Enforcement::Required
    }
}

/// Judges a request to the app at this index.
pub(super) fn judge_request(braze: &LocalBraze, app: usize, request: &SdkRequest, switches: &Switches) -> Judgement {
    let (enforcement, keys, sdk_api_key, now) = braze.with(|state, now| {
        let app = &state.apps[app];
        (app.enforcement, app.keys.verifying(now, switches.propagation()), app.sdk_api_key.clone(), now)
    });
    if enforcement == Enforcement::Disabled {
        return Judgement { enforcement, code: None, text: None };
    }
    let against = Against {
        public_keys: Some(&keys),
        user: None,
        sdk_api_key: Some(&sdk_api_key),
        now: switches.time_of_check(now),
    };
    match judge(request.token.as_deref(), &request.claimed(), &against) {
        Verdict::Accepted => Judgement { enforcement, code: None, text: None },
        Verdict::Rejected { code: ErrorCode::NoMatchingPublicKeys, text } if switches.decoding_error_for_no_match => {
            Judgement { enforcement, code: Some(ErrorCode::DecodingError), text: Some(text) }
        }
        Verdict::Rejected { code, text } => Judgement { enforcement, code: Some(code), text: Some(text) },
    }
}
