//! Several Marathons: which there are, what they are called, and that no two of them are the same.
//!
//! ```text
//!   MCONN_MARATHON_CLUSTERS = east=https://user:password@a:8443|b:8443,west=c:8080
//!                             name scheme  credentials   hosts of it   next one
//! ```

use mconn_model::SourceId;

use super::read::{Expected, marathon_host};
use super::secret::MarathonHost;

/// Longest name of a Marathon, in bytes: it is in every metric, log line and inventory key of its tasks.
const NAME_MAX: usize = 64;

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
    /// https.
    pub(crate) tls: bool,
}

impl Cluster {
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

/// The further Marathons. `tls` holds for those that name no scheme.
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
    const EXPECTED: &str = "Marathons separated by commas, each name=host:port|host:port, with https:// in front of the first host, \
                            or user:password@ in front of any, where that is needed";
    let (given, hosts) = piece.split_once('=').ok_or(EXPECTED)?;
    let (tls, hosts) = match hosts.trim().split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        Some(_) => return Err(EXPECTED.to_owned()),
        None => (tls, hosts),
    };
    let name = name(given.trim())?;
    let hosts = hosts.split('|').map(|host| marathon_host(host.trim(), tls).map_err(|_| EXPECTED.to_owned()));
    Ok(Cluster { name, first: false, hosts: hosts.collect::<Result<_, _>>()?, tls })
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
                other.hosts.iter().any(|o| o.port == host.port && o.host.eq_ignore_ascii_case(&host.host))
            };
            if let Some(host) = cluster.hosts.iter().find(same) {
                let (name, host, other) = (&cluster.name, host.authority(), &other.name);
                return Err(format!("every host in one Marathon only: {host} is in {other} and in {name}"));
            }
        }
    }
    Ok(())
}

/// The text as it may be shown. One that cannot be read is hidden whole if there may be a password in it.
pub(super) fn mask(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    if read(text, false).is_err() {
        return "***".to_owned();
    }
    let host = |text: &str| match text.rsplit_once('@') {
        Some((_, host)) => format!("***:***@{host}"),
        None => text.to_owned(),
    };
    let hosts = |text: &str| text.split('|').map(host).collect::<Vec<_>>().join("|");
    let shown = text.split(',').map(|piece| {
        let (name, rest) = piece.split_once('=').unwrap_or(("", piece));
        match rest.split_once("://") {
            Some((scheme, rest)) => format!("{name}={scheme}://{}", hosts(rest)),
            None if rest.is_empty() => piece.to_owned(),
            None => format!("{name}={}", hosts(rest)),
        }
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(clusters: &[Cluster]) -> String {
        let one = |c: &Cluster| {
            let hosts = c.hosts.iter().map(|h| match &h.credentials {
                Some(c) => format!("{}/{}@{}", c.reveal_user(), c.reveal_password(), h.authority()),
                None => h.authority(),
            });
            format!("{} {} {}", c.name, if c.tls { "tls" } else { "-" }, hosts.collect::<Vec<_>>().join(" "))
        };
        clusters.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn further_marathons_are_read_with_all_their_parts() {
        let cases = [
            ("", false, Some("")),
            ("east=a:1", false, Some("east - a:1")),
            ("east=a:1|b:2, west = c ,", false, Some("east - a:1 b:2; west - c:80")),
            ("east=https://me:pass=word@a|[::1]:2", false, Some("east tls me/pass=word@a:443 [::1]:2")),
            ("east=a,west=http://b", true, Some("east tls a:443; west - b:80")),
            ("east", false, None),
            ("=a:1", false, None),
            ("east=", false, None),
            ("east=a:1|", false, None),
            ("east=a:1|https://b:1", false, None),
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
        ];
        for (given, wanted) in cases {
            assert_eq!(mask(given), wanted, "{given}");
        }
    }
}
