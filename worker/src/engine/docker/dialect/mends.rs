//! What an owner can do when the engine cannot do what jobs need.

use super::{Dialect, Kind};

impl Dialect {
    /// What to do when containers cannot be limited.
    pub(crate) fn mend_of_limits(&self) -> &'static str {
        match self.kind {
            Kind::Podman if self.is_rootless => {
                "Podman without root needs control groups v2 and systemd's delegation of cpu, memory and pids \
                 (`Delegate=cpu cpuset io memory pids` for user@.service); or use Podman as root"
            }
            _ => {
                "enable the kernel's cgroup controllers cpu, memory and pids (`cgroup_enable=memory` on some kernels' command line, \
                 delegation for an engine without root)"
            }
        }
    }

    /// What to do when containers cannot be confined.
    pub(crate) fn mend_of_confinement(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "check --runtime, --cap-add, --user and --init",
            Kind::Podman => {
                "install `catatonit` if its init is missing (Debian and Ubuntu: `apt-get install catatonit`), and check --cap-add, --user \
                 and --init"
            }
        }
    }

    /// What to do when containers get no gpus.
    pub(crate) fn mend_of_gpus(&self) -> &'static str {
        match self.kind {
            Kind::Docker => {
                "install the vendor's container toolkit and register it (`sudo nvidia-ctk runtime configure`, then restart the engine), or \
                 leave out --gpus"
            }
            Kind::Podman => "use a Docker engine, or leave out --gpus",
        }
    }
}
