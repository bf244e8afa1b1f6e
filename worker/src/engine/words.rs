//! What an engine reports about pulls and builds, and the logins that it needs for them.

/// One message about a pull's progress.
#[derive(Clone, Debug)]
pub(crate) struct PullProgress {
    /// Layer, or empty for the whole image.
    pub(crate) layer: String,
    pub(crate) status: String,
}

/// One message of a build.
#[derive(Clone, Debug)]
pub(crate) enum BuildWord {
    /// Output of the builder and the commands. It may end inside a line.
    Output(String),
    /// Progress of the pull of a base image.
    Progress(String),
    /// Steps of `BuildKit`.
    Steps(Vec<BuildStep>),
    /// A message with nothing to report.
    Nothing,
}

/// One message of `BuildKit` about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BuildStep {
    /// The step began. Its name is for example `[stage-0 2/3] RUN true`.
    Begun { id: String, name: String },
    /// The step's result comes from an earlier build.
    Cached { id: String, name: String },
    /// Output of its command. It may end inside a line.
    Output { id: String, text: String },
    /// The step ended, with an error if it failed.
    Ended { id: String, error: Option<String> },
}

/// A login for a registry.
#[derive(Clone)]
pub(crate) struct Login {
    /// Host and port.
    pub(crate) registry: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The password is an identity token, so the user name is empty.
    pub(crate) is_token: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("registry", &self.registry).finish_non_exhaustive()
    }
}
