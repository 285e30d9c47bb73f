//! Text in columns: for whoever prints more than one line of it.

/// Columns where nobody says how many there are, and the most that are used: longer lines are hard
/// to read.
pub const WIDTH: usize = 100;
/// Fewest columns; a narrower terminal breaks lines itself.
#[cfg(target_os = "linux")]
const NARROWEST: usize = 60;

/// Columns of the terminal that standard output goes to.
#[must_use]
pub fn terminal_width() -> usize {
    #[cfg(target_os = "linux")]
    if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout())
        && size.ws_col > 0
    {
        return usize::from(size.ws_col).clamp(NARROWEST, WIDTH);
    }
    WIDTH
}

/// Writes a text after a head, its further lines under the first. What a server said may hold
/// control characters; none of them gets through.
pub fn wrap(text: &mut String, width: usize, head: &str, said: &str) {
    let margin = head.chars().count();
    text.push_str(head);
    let mut column = margin;
    for word in said.split(|c: char| c.is_whitespace() || c.is_control()) {
        let length = word.chars().count();
        if column > margin && column + length >= width {
            text.push('\n');
            text.push_str(&" ".repeat(margin));
            column = margin;
        } else if column > margin {
            text.push(' ');
        }
        text.push_str(word);
        column += length + 1;
    }
    text.push('\n');
}
