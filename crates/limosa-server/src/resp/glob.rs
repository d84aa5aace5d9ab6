//! Matches a key against a Redis glob pattern: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a byte that is meant as it is.

/// Whether `text` matches `pattern`. Time is at most |pattern| × |text|: no pattern makes it exponential.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        if let (Some(&byte), true) = (text.get(t), p < pattern.len())
            && let Some(next) = one(pattern, p, byte)
        {
            (p, t) = (next, t + 1);
            continue;
        }
        // Only the last star needs to take one byte more: what an earlier one took is settled.
        match star {
            Some((after, from)) if from < text.len() => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on if its element at `p` (no star) matches `byte`.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern[p] {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (literal == byte).then_some(p + 1),
    }
}

/// A class up to its `]`; one that does not close goes on to the pattern's end, as in Redis.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let is_negated = pattern.get(p) == Some(&b'^');
    p += usize::from(is_negated);
    let mut is_in = false;
    loop {
        match &pattern[p..] {
            [b'\\', escaped, ..] => {
                is_in |= *escaped == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [] => break,
            [low, b'-', high, ..] => {
                is_in |= (low.min(high)..=low.max(high)).contains(&&byte);
                p += 3;
            }
            [literal, ..] => {
                is_in |= *literal == byte;
                p += 1;
            }
        }
    }
    (is_in != is_negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: [(&str, &str, bool); 24] = [
            ("*", "", true),
            ("*", "abc", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a*b*c", "aXbYbZc", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"[\]]", "]", true),
            ("[", "[", false),
            ("[abc", "b", true),
            ("user:*:name", "user:12:name", true),
            ("**a", "bba", true),
            (r"a\", r"a\", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern = "a*".repeat(500);
        assert!(!matches(format!("{pattern}b").as_bytes(), "a".repeat(5000).as_bytes()));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in proptest::collection::vec(proptest::sample::select(b"*?[]^-\\ab".to_vec()), 0..12), text in proptest::collection::vec(proptest::sample::select(b"ab]-".to_vec()), 0..8)) {
            let _ = matches(&pattern, &text);
        }
    }
}
