//! `hop configure`: the files of settings.

use super::arguments::{ConfigureAction, Settings};
use super::auth::AuthFailure;
use super::output::Output;
use super::{Failure, Outcome};
use crate::config::Paths;

pub(super) fn run(action: &ConfigureAction) -> Outcome {
    let ConfigureAction::Locate { settings } = action;
    let paths = Paths::from_environment().map_err(|error| Failure::Auth(AuthFailure::from(error)))?;
    let path = match settings {
        Settings::General => paths.config(),
        Settings::Auth => paths.auth(),
    };
    let mut output = Output::new();
    output.line(&path.to_string_lossy())?;
    Ok(output.flush()?)
}
