//! `hop configure`: the files of settings, and the general settings themselves.

use super::arguments::{ConfigureAction, ConfigureArguments, SettingsFile};
use super::auth::AuthFailure;
use super::output::Output;
use super::{Failure, Outcome, say};
use crate::config::{Paths, Setting, Settings};

pub(super) fn run(arguments: &ConfigureArguments) -> Outcome {
    let paths = Paths::from_environment().map_err(|error| Failure::Auth(AuthFailure::from(error)))?;
    let mut output = Output::new();
    match &arguments.action {
        ConfigureAction::Locate { file } => {
            let path = match file {
                SettingsFile::General => paths.config(),
                SettingsFile::Auth => paths.auth(),
            };
            output.line(&path.to_string_lossy())?;
        }
        ConfigureAction::Show => {
            let settings = Settings::load(&paths)?;
            for setting in Setting::ALL {
                output.line(&format!("{setting}: {}", as_python(settings.get(setting))))?;
            }
        }
        ConfigureAction::Set { name, value } => {
            let value = name.parse_value(value)?;
            let path = Settings::write(&paths, *name, value)?;
            if !arguments.verbosity.quiet {
                say(&format!("hop: Wrote {name} = {} to {}", as_python(value), path.display()));
            }
        }
    }
    Ok(output.flush()?)
}

/// As hop-client shows it, for scripts that look.
fn as_python(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}
