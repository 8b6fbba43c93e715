//! Ids that may have been meant when one is not known.

/// Ids that a hint names at most.
const SHOWN: usize = 3;
/// Longer ids are compared by their beginning: the time grows with the square.
const COMPARED: usize = 128;

/// The known ids that look most like `unknown`, best first: those that end in the same name, then those that differ by a
/// few letters, then those that contain its last name.
pub(crate) fn similar<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = unknown.to_lowercase();
    let name = last(&wanted);
    let score = |id: &'a str| {
        let lower = id.to_lowercase();
        let far = distance(&lower, &wanted);
        if last(&lower) == name {
            Some((0, far, id))
        } else if far <= wanted.len() / 4 + 1 {
            Some((1, far, id))
        } else if name.len() > 2 && lower.contains(name) {
            Some((2, far, id))
        } else {
            None
        }
    };
    let mut found: Vec<_> = known.filter_map(score).collect();
    found.sort_unstable();
    // One id may be known to several sources.
    found.dedup_by_key(|(_, _, id)| *id);
    found.into_iter().take(SHOWN).map(|(_, _, id)| id).collect()
}

fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Letters to insert, delete or replace until one is the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(COMPARED).enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_meant_comes_first() {
        let known = ["/shop/cart", "/shop/card", "/billing/cart", "/shop/checkout", "/other"];
        let cases: [(&str, &[&str]); 6] = [
            ("/cart", &["/shop/cart", "/billing/cart"]),
            ("/shop/crat", &["/shop/cart", "/shop/card"]),
            ("/Shop/Cart", &["/shop/cart", "/billing/cart", "/shop/card"]),
            ("/check", &["/shop/checkout"]),
            ("/oher", &["/other"]),
            ("/nothing/like-it", &[]),
        ];
        for (unknown, wanted) in cases {
            assert_eq!(similar(unknown, known.into_iter()), wanted, "{unknown}");
        }
    }
}
