//! Several Marathons: which there are, what they are called, and that no two of them are the same.
//!
//! ```text
//!   MCONN_MARATHON_CLUSTERS = east=https://user:password@a:8443|b:8443,west=http://c/service/marathon
//!                             name scheme  credentials   hosts of it   next one       path
//! ```

use mconn_model::SourceId;

use super::read::{Expected, marathon_host};
use super::secret::{MarathonHost, SecretUrl, mask_host};

/// Longest name of a Marathon, in bytes: it is in every metric, log line and inventory key of its tasks.
const NAME_MAX: usize = 64;

/// Where a master of DC/OS takes logins (spec/marathon.md section 9).
const DCOS_LOGIN_PATH: &str = "/acs/api/v1/auth/login";

/// One Marathon: hosts that know the same apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Its name, as catalog, metrics and log have it.
    pub(crate) name: SourceId,
    /// Whether it is the one of `MCONN_MARATHON_HOSTS`, whose tasks are stored and shown without a source, as before there
    /// were several.
    pub(crate) first: bool,
    /// Tried in order; never empty.
    pub(crate) hosts: Vec<MarathonHost>,
    /// Where to log in to the DC/OS that it belongs to if nothing else tells: beside its first host behind a path.
    pub(crate) beside: Option<SecretUrl>,
}

impl Cluster {
    pub(super) fn new(name: SourceId, first: bool, hosts: Vec<MarathonHost>) -> Self {
        let router = hosts.iter().find(|host| !host.path.is_empty());
        let beside = router.and_then(|host| format!("{}{DCOS_LOGIN_PATH}", host.origin()).parse().ok());
        Self { name, first, hosts, beside: beside.map(SecretUrl::new) }
    }

    /// What its task events carry as their source.
    pub(crate) fn mark(&self) -> Option<SourceId> {
        (!self.first).then(|| self.name.clone())
    }

    /// The setting that its hosts come from, for messages.
    pub(crate) fn setting(&self) -> &'static str {
        if self.first { "MCONN_MARATHON_HOSTS" } else { "MCONN_MARATHON_CLUSTERS" }
    }
}

/// A name that fits a label, an address's query and a key.
pub(super) fn name(text: &str) -> Result<SourceId, Expected> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match SourceId::new(text) {
        Ok(name) if text.len() <= NAME_MAX && text.chars().all(fits) => Ok(name),
        _ => Err(format!("a name of letters, digits, '-', '_', '.' and ':', of {NAME_MAX} bytes at most")),
    }
}

/// The further Marathons. `tls` holds for those whose first host names no scheme.
///
/// # Errors
/// What was expected, with the place of the one that does not fit; never its text, which may be half of a password.
pub(super) fn clusters(text: &str, tls: bool) -> Result<Vec<Cluster>, Expected> {
    let found = read(text, tls)?;
    for (i, cluster) in found.iter().enumerate() {
        if let Some(j) = found[..i].iter().position(|other| other.name == cluster.name) {
            return Err(format!(
                "a name for one Marathon only: entries {} and {} have the same",
                j + 1,
                i + 1
            ));
        }
    }
    Ok(found)
}

fn read(text: &str, tls: bool) -> Result<Vec<Cluster>, Expected> {
    let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
    let numbered = pieces.enumerate();
    numbered
        .map(|(i, piece)| cluster(piece, tls).map_err(|expected| format!("{expected} (entry {})", i + 1)))
        .collect()
}

fn cluster(piece: &str, tls: bool) -> Result<Cluster, Expected> {
    const EXPECTED: &str = "Marathons separated by commas, each name=host|host with hosts such as host:port, user:password@host:port, \
                            or https://host/service/marathon (in which user and password are percent-encoded)";
    let (given, hosts) = piece.split_once('=').ok_or(EXPECTED)?;
    let name = name(given.trim())?;
    // What the first host says holds for those behind it that say nothing: a password must not go in the clear because
    // `https://` was not repeated.
    let mut default = tls;
    let mut found = Vec::new();
    for text in hosts.split('|') {
        let host = marathon_host(text.trim(), default).map_err(|_| EXPECTED.to_owned())?;
        if found.is_empty() {
            default = host.tls;
        }
        found.push(host);
    }
    Ok(Cluster::new(name, false, found))
}

/// Two Marathons that are one would have every task twice.
///
/// # Errors
/// What was expected, with the names.
pub(super) fn distinct(clusters: &[Cluster]) -> Result<(), Expected> {
    for (i, cluster) in clusters.iter().enumerate() {
        for other in &clusters[..i] {
            if other.name == cluster.name {
                let name = &cluster.name;
                return Err(format!(
                    "a name for one Marathon only: that of {} is {name}, too",
                    other.setting()
                ));
            }
            let same = |host: &&MarathonHost| {
                // Behind one router there may be several, each with a path of its own.
                let same = |o: &MarathonHost| {
                    o.port == host.port && o.path == host.path && o.host.eq_ignore_ascii_case(&host.host)
                };
                other.hosts.iter().any(same)
            };
            if let Some(host) = cluster.hosts.iter().find(same) {
                let (name, host, path, other) = (&cluster.name, host.authority(), &host.path, &other.name);
                return Err(format!(
                    "every host in one Marathon only: {host}{path} is in {other} and in {name}"
                ));
            }
        }
    }
    Ok(())
}

/// The text as it may be shown. One that cannot be read is hidden whole if there may be a password in it.
pub(super) fn mask(text: &str) -> String {
    if text.contains('@') && read(text, false).is_err() {
        return "***".to_owned();
    }
    let hosts = |text: &str| text.split('|').map(mask_host).collect::<Vec<_>>().join("|");
    let shown = text.split(',').map(|piece| match piece.split_once('=') {
        Some((name, rest)) => format!("{name}={}", hosts(rest)),
        None => hosts(piece),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(clusters: &[Cluster]) -> String {
        let one = |c: &Cluster| {
            let hosts = c.hosts.iter().map(|h| match &h.credentials {
                Some(c) => format!("{}/{} at {}", c.reveal_user(), c.reveal_password(), h.url()),
                None => h.url(),
            });
            format!("{} {}", c.name, hosts.collect::<Vec<_>>().join(" "))
        };
        clusters.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn further_marathons_are_read_with_all_their_parts() {
        let cases = [
            ("", false, Some("")),
            ("east=a:1", false, Some("east http://a:1")),
            ("east=a:1|b:2, west = c ,", false, Some("east http://a:1 http://b:2; west http://c:80")),
            (
                "east=https://me:pass=word@a|me:p%40@[::1]:2",
                false,
                Some("east me/pass=word at https://a:443 me/p%40 at https://[::1]:2"),
            ),
            ("east=a,west=http://b", true, Some("east https://a:443; west http://b:80")),
            ("east=a:1|https://b|c:1", false, Some("east http://a:1 https://b:443 http://c:1")),
            ("east=https://a|http://b|c", false, Some("east https://a:443 http://b:80 https://c:443")),
            (
                "east=https://u%2C:p%7C%40@a/service/east/|http://b/x",
                false,
                Some("east u,/p|@ at https://a:443/service/east http://b:80/x"),
            ),
            ("east", false, None),
            ("=a:1", false, None),
            ("east=", false, None),
            ("east=a:1|", false, None),
            ("east=ftp://a", false, None),
            ("ea st=a", false, None),
            ("east=a/path", false, None),
            ("east=a,east=b", false, None),
        ];
        for (text, tls, wanted) in cases {
            assert_eq!(clusters(text, tls).ok().map(|found| plain(&found)).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn errors_name_the_place_and_not_the_text() {
        let error = |text| clusters(text, false).unwrap_err();
        assert!(error("a=b:1,hush@c").ends_with("(entry 2)"), "{}", error("a=b:1,hush@c"));
        assert!(error("a=b,c=d,a=e").ends_with("entries 1 and 3 have the same"));
        assert!(!error("a=u:hush,hush@c").contains("hush"));
    }

    #[test]
    fn no_two_are_the_same() {
        let found = |text| distinct(&clusters(text, false).unwrap());
        assert_eq!(found("a=https://x/a,b=https://x/b|https://x"), Ok(()));
        assert!(
            found("a=https://x/a,b=x:443|https://X/a/")
                .is_err_and(|e| e.ends_with("X:443/a is in a and in b"))
        );
        assert_eq!(found("a=x:1|y:1,b=x:2"), Ok(()));
        let error = found("a=x:1|y:1,b=z:1|X:1").unwrap_err();
        assert!(error.ends_with("X:1 is in a and in b"), "{error}");
    }

    #[test]
    fn passwords_are_hidden() {
        let cases = [
            ("", ""),
            ("a=x:1,b=https://u:hush@y|z:2", "a=x:1,b=https://***:***@y|z:2"),
            ("a = u:hush@x|u:hush=@y:1", "a =***:***@x|***:***@y:1"),
            ("a=u:hu,sh@y", "***"),
            ("hush@y", "***"),
            ("a=x:", "a=x:"),
            ("a=https://u:hush@x/m|y,b=z", "a=https://***:***@x/m|y,b=z"),
            ("a=https://x/m?token=hush", "a=https://***"),
            ("a=x:hush,b", "a=***,b"),
        ];
        for (given, wanted) in cases {
            assert_eq!(mask(given), wanted, "{given}");
        }
    }
}
