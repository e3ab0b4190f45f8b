//! Joining ROS 2, and what is wrong where that fails.

use std::{env, panic};

use r2r::Context;

/// The process's context, made from its arguments (`--ros-args ...`, `--enclave` among them) and environment.
///
/// # Errors
/// What ROS 2 does not like: its arguments, or the enclave where security is enforced.
pub(super) fn context() -> anyhow::Result<Context> {
    // r2r panics where rcl refuses. That is the user's mistake and no fault of the program, so the panic is not told as one.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let created = panic::catch_unwind(Context::create);
    panic::set_hook(hook);
    let reason = match created {
        Ok(Ok(context)) => return Ok(context),
        Ok(Err(error)) => error.to_string(),
        Err(fault) => fault.downcast_ref::<String>().cloned().unwrap_or_default(),
    };
    anyhow::bail!("{}", refusal(&reason, |name| env::var(name).ok()))
}

/// What to look at, by the environment.
fn refusal(reason: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut text = "ROS 2 refuses a context; look at the arguments after --ros-args".to_owned();
    if variable("ROS_SECURITY_ENABLE").as_deref() == Some("true") {
        let keystore = variable("ROS_SECURITY_KEYSTORE").unwrap_or_else(|| "not set".to_owned());
        let part = format!(
            ", and at security: ROS_SECURITY_ENABLE is true, so that the enclave after --enclave (by default /) must be in the \
             keystore (ROS_SECURITY_KEYSTORE: {keystore}); `ros2 security create_enclave KEYSTORE ENCLAVE` makes one"
        );
        text.push_str(&part);
    }
    // What r2r says when the reason was lost on the way.
    if !reason.is_empty() && reason != "error not set" {
        text.push_str(&format!(": {reason}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_of_security_only_where_it_is_on() {
        let plain = refusal("wrong remap rule", |_| None);
        assert!(plain.contains("--ros-args: wrong remap rule") && !plain.contains("enclave"), "{plain}");
        let secure = refusal("error not set", |name| (name == "ROS_SECURITY_ENABLE").then(|| "true".to_owned()));
        assert!(secure.contains("ROS_SECURITY_KEYSTORE: not set") && !secure.contains("error not set"), "{secure}");
    }
}
