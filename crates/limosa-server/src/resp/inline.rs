//! Splits an inline command into its arguments: blanks separate, quotes group, as `redis-cli` and people with telnet type them.

use super::parser::Span;

/// The quotes do not close, or something sticks to a closing quote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unbalanced;

/// Appends the arguments of `line` to `out`, their bytes one after another, and their spans to `spans`.
///
/// Inside double quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and `\` before any other byte are escapes; inside single quotes only `\'`.
pub(crate) fn split(line: &[u8], out: &mut Vec<u8>, spans: &mut Vec<Span>) -> Result<(), Unbalanced> {
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|byte| is_blank(**byte)).count();
        if at >= line.len() {
            return Ok(());
        }
        let start = out.len();
        at = one_argument(line, at, out)?;
        spans.push(Span::new(start, out.len()));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Returns where the argument ends.
fn one_argument(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' => at = double_quoted(line, at + 1, out)?,
            b'\'' => at = single_quoted(line, at + 1, out)?,
            // As in C, where Redis reads its line: a NUL ends the argument and the line.
            0 => return Ok(line.len()),
            _ if is_blank(byte) => return Ok(at),
            _ => {
                out.push(byte);
                at += 1;
                continue;
            }
        }
        // A closing quote is followed by a blank or by the end.
        return if line.get(at).is_none_or(|&next| is_blank(next) || next == 0) { Ok(at) } else { Err(Unbalanced) };
    }
    Ok(at)
}

fn double_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    loop {
        match line[at..] {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(high) << 4 | hex(low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                out.push(unescape(escaped));
                at += 2;
            }
            [b'"', ..] => return Ok(at + 1),
            [0, ..] | [] => return Err(Unbalanced),
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Unbalanced> {
    loop {
        match line[at..] {
            [b'\\', b'\'', ..] => {
                out.push(b'\'');
                at += 2;
            }
            [b'\'', ..] => return Ok(at + 1),
            [0, ..] | [] => return Err(Unbalanced),
            [byte, ..] => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let (mut out, mut spans) = (Vec::new(), Vec::new());
        split(line, &mut out, &mut spans)?;
        Ok(spans.iter().map(|span| span.of(&out).to_vec()).collect())
    }

    #[test]
    fn blanks_separate_and_quotes_group() {
        assert_eq!(args(b"  set a\tb  "), Ok(vec![b"set".to_vec(), b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(args(br#"set "a b" 'c\'d' """#), Ok(vec![b"set".to_vec(), b"a b".to_vec(), b"c'd".to_vec(), vec![]]));
        assert_eq!(args(br#""\x41\n\q\"""#), Ok(vec![b"A\nq\"".to_vec()]));
        assert_eq!(args(b""), Ok(vec![]));
    }

    #[test]
    fn quotes_that_do_not_close_are_refused() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\", b"\"a\\\""] {
            assert_eq!(args(line), Err(Unbalanced), "{}", String::from_utf8_lossy(line));
        }
    }
}
