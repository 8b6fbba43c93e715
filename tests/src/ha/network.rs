//! Real networks: each node in a namespace of its own, with one wire to the others and to clients, and one to the ensemble.
//!
//! ```text
//!   clients, senders ---[bridge "others"]--- node 0, 1, 2 ---[bridge "ensemble"]--- servers
//! ```
//!
//! The test itself runs in a namespace too ([`inside`](Network::inside)), where it may do as it likes: nothing is changed outside, nothing
//! is left behind, and where users may make namespaces no root is needed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::cluster::NODES;

/// Where the ensemble listens.
const ENSEMBLE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

/// Where the test's own Marathon listens.
const OTHERS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Of each node, in its namespace.
const PORT: u16 = 8080;

/// Says that we are inside.
const INSIDE: &str = "MCONN_FAULT_NETWORK";

/// One of a node's two wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// To the other nodes and to clients.
    Others,
    /// To the ensemble.
    Ensemble,
}

impl Wire {
    const ALL: [Self; 2] = [Self::Others, Self::Ensemble];

    /// The name of its bridge, and in the node's namespace its own.
    fn name(self) -> &'static str {
        match self {
            Self::Others => "others",
            Self::Ensemble => "ensemble",
        }
    }

    fn near(self) -> Ipv4Addr {
        match self {
            Self::Others => OTHERS,
            Self::Ensemble => ENSEMBLE,
        }
    }

    fn far(self, node: usize) -> Ipv4Addr {
        let [a, b, c, _] = self.near().octets();
        let host = u8::try_from(10 + node).expect("a handful of nodes");
        Ipv4Addr::new(a, b, c, host)
    }

    /// The wire's end at the bridge.
    fn end(self, node: usize) -> String {
        format!("{}{node}", self.name())
    }
}

/// The networks of a cluster, in the namespace of this process.
#[derive(Debug)]
pub struct Network(());

impl Network {
    /// Runs the test of this name again, in namespaces of its own, and gives `None` when it has passed; `Some` inside.
    ///
    /// # Panics
    /// If it fails there, or namespaces cannot be had. The message says what is missing.
    #[must_use]
    pub fn inside(test: &str) -> Option<Self> {
        if std::env::var_os(INSIDE).is_some() {
            return Some(Self::lay());
        }
        for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("mount", "mount")] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
            assert!(found, "{program} is missing: apt-get install {package} (tools/packages does it)");
        }
        let mut command = Command::new("unshare");
        if Path::new("/proc/self").metadata().is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0)
        {
            command.args(["--user", "--map-root-user"]);
        }
        // The names of namespaces are kept below /run.
        let enter = "mount -t tmpfs none /run && exec \"$@\"";
        command.args(["--net", "--mount", "sh", "-c", enter, "sh"]);
        command.arg(std::env::current_exe().expect("the path of this test"));
        command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
        let done = command.output().expect("unshare runs");
        let (output, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        println!("{output}{errors}");
        assert!(
            done.status.success() && output.contains("1 passed"),
            "it has failed inside namespaces of its own; if unshare was not permitted, run it as root or allow users to \
             make namespaces (sysctl kernel.unprivileged_userns_clone, user.max_net_namespaces)"
        );
        None
    }

    fn lay() -> Self {
        ip("link set lo up");
        for wire in Wire::ALL {
            let (name, near) = (wire.name(), wire.near());
            ip(&format!("link add {name} type bridge"));
            ip(&format!("addr add {near}/24 dev {name}"));
            ip(&format!("link set {name} up"));
        }
        for node in 0..NODES {
            ip(&format!("netns add node{node}"));
            ip(&format!("-n node{node} link set lo up"));
            for wire in Wire::ALL {
                let (name, end, far) = (wire.name(), wire.end(node), wire.far(node));
                ip(&format!("link add {end} type veth peer name {name} netns node{node}"));
                ip(&format!("link set {end} master {name} up"));
                ip(&format!("-n node{node} addr add {far}/24 dev {name}"));
                ip(&format!("-n node{node} link set {name} up"));
            }
        }
        Self(())
    }

    /// Where the ensemble has to listen.
    #[must_use]
    pub fn ensemble(&self) -> Ipv4Addr {
        ENSEMBLE
    }

    /// Where a Marathon may listen.
    #[must_use]
    pub fn others(&self) -> Ipv4Addr {
        OTHERS
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, node: usize) -> SocketAddr {
        (Wire::Others.far(node), PORT).into()
    }

    /// A shell's words that put a process into a node's namespace.
    #[must_use]
    pub fn enter(&self, node: usize) -> String {
        format!("exec ip netns exec node{node} \"$@\"")
    }

    /// Pulls a wire out: nothing gets through, and nobody is told.
    pub fn pull(&self, node: usize, wire: Wire) {
        ip(&format!("link set {} down", wire.end(node)));
    }

    /// Puts it in again.
    pub fn mend(&self, node: usize, wire: Wire) {
        ip(&format!("link set {} up", wire.end(node)));
    }
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).output().expect("ip runs");
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}
