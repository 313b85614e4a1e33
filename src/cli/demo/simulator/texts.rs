//! What the team writes.

/// A card before it is on a board.
pub(super) struct Card {
    pub(super) title: &'static str,
    pub(super) body: &'static str,
    pub(super) priority: i16,
    pub(super) labels: Vec<&'static str>,
}

/// A board and what is to be done there.
pub(super) struct Board {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    titles: &'static [&'static str],
}

/// How many of [`USERS`] can log in, as `web/provider/people.json` has them: what they do is left to them.
const GUESTS: usize = 3;

/// Id, name, and the hue of the colour in degrees. Those who can log in come first.
pub(super) const USERS: [(&str, &str, i16); 8] = [
    ("ada", "Ada Winter", 12),
    ("ben", "Ben Sommer", 205),
    ("cleo", "Cleo Marsh", 330),
    ("daria", "Daria Kowalska", 265),
    ("emeka", "Emeka Adeyemi", 150),
    ("freya", "Freya Lindqvist", 45),
    ("gael", "Gael Moreau", 180),
    ("hana", "Hana Novak", 290),
];

pub(super) const BOARDS: [Board; 3] = [
    Board {
        name: "Ferry app",
        description: "Tickets, timetables and boarding passes in one pocket.",
        titles: &[
            "Show the next departure on the lock screen",
            "Boarding pass stays readable in bright sun",
            "Refund a ticket without calling us",
            "Timetable for public holidays",
            "Group tickets for up to thirty people",
            "Bicycle spaces: show how many are left",
            "Say why a ferry is late",
            "Remember the last five crossings",
            "Cold start takes four seconds on old phones",
            "Crash when the language changes during checkout",
            "Receipts as PDF by mail",
            "Sign in with a passkey",
            "Voice-over skips the seat map",
            "Map of the pier with accessible routes",
            "Monthly pass renews itself",
            "Offer the earlier ferry when there is room",
            "Prices in the traveller's currency",
            "Night mode for the crew's scanner",
            "Scanner accepts cracked screens",
            "Weather warning before booking",
            "Notify when boarding starts",
            "Move a booking by one day",
            "Pets: say which decks are open to them",
            "Offline tickets expire a day too early",
        ],
    },
    Board {
        name: "Harbour sensors",
        description: "Water levels, wind and berths, measured every few seconds.",
        titles: &[
            "Gauge 14 reports twice after a reboot",
            "Replace batteries on the eastern mole",
            "Alarm when the level rises 20 cm in an hour",
            "Calibrate the wind mast after the storm",
            "Berth sensor sees gulls as ships",
            "Firmware 2.8 for all level gauges",
            "Store raw readings for ninety days",
            "Tide forecast next to the measured level",
            "Radio gap behind the grain silo",
            "Clock drift of more than two seconds",
            "Spare modem for the lock house",
            "Salt on the optical sensor, weekly cleaning",
            "Median filter for wave height",
            "Open data: hourly levels as CSV",
            "Dashboard for the pilots' office",
            "Water temperature at three depths",
            "Alarm reaches the duty phone at night",
            "Show a sensor's last maintenance",
            "Test the backup link every Monday",
            "Camera at berth 6 faces the sun",
            "Current meter: negative values at slack water",
            "Document the wiring of cabinet C",
            "Flood gate status from the control system",
            "Ice warning below two degrees",
        ],
    },
    Board {
        name: "Port website",
        description: "What visitors, skippers and neighbours look for.",
        titles: &[
            "Arrivals and departures on the front page",
            "Berth reservation in three steps",
            "Translate the port rules into Danish",
            "Noise complaints: form instead of a phone number",
            "Photographs of the new promenade",
            "Search finds documents, too",
            "Contrast of links in the footer",
            "Fees explained with three examples",
            "Opening hours of the bridge as a calendar",
            "Newsletter for residents",
            "Old addresses redirect to new ones",
            "Page for school visits",
            "Live water level in the header",
            "Webcam without cookies",
            "Job advert: lock keeper",
            "Print view of the berth plan",
            "Accessibility statement for this year",
            "Annual report as a web page",
            "Contact page shows who is on duty",
            "Festival: road closures on a map",
            "Shorten the text about customs",
            "Loading the map takes too long on phones",
            "Remove the pop-up for good",
            "History of the harbour in ten pictures",
        ],
    },
];

const BODIES: [&str; 8] = [
    "Came up in three conversations this week. A small step first, then we look again.",
    "Steps to see it: open the page twice, quickly. It happens about one time in five.",
    "Agreed with operations: ready before the season starts.",
    "There is a sketch on the wiki. The wording still needs somebody with an eye for it.",
    "Measured on the slowest device that we support.",
    "Depends on nothing else; good for a first contribution.",
    "The old way keeps working until the end of the month.",
    "",
];

const COMMENTS: [&str; 24] = [
    "I can reproduce it. Looking for the cause now.",
    "Works on my phone, including the old one.",
    "Could we do the smaller half first?",
    "Talked to operations: Thursday is fine.",
    "Screenshots are attached to the wiki page.",
    "The test covers both cases now.",
    "I would rather keep the old wording here.",
    "Good catch, that was the wrong time zone.",
    "Waiting for the supplier, they answer on Monday.",
    "Reviewed. One question about the second step.",
    "Nice! Much faster than before.",
    "Let us measure before we change anything.",
    "This also happens with an empty list.",
    "Moved the rest to a card of its own.",
    "The pilots like it.",
    "Who knows the password of cabinet C?",
    "Found it: off by one on the last day of the month.",
    "I will take this one tomorrow morning.",
    "Done on staging, please have a look.",
    "Not urgent, but it annoys people every day.",
    "Agreed, thanks for writing it down.",
    "We tried that two years ago; notes are linked.",
    "Rolled back, the gauge lost its settings.",
    "All green. Ready from my side.",
];

const LABELS: [&str; 9] = [
    "bug",
    "design",
    "accessibility",
    "performance",
    "customer",
    "documentation",
    "hardware",
    "text",
    "security",
];

/// A new card for the board of that name, which has these already, and no second one of them while there are others;
/// boards that somebody else made get cards of all kinds.
pub(super) fn card(board: &str, there: &[String]) -> Card {
    let titles =
        BOARDS.iter().find(|known| known.name == board).unwrap_or(&BOARDS[fastrand::usize(..BOARDS.len())]);
    let fresh: Vec<_> =
        titles.titles.iter().copied().filter(|title| !there.iter().any(|known| known == title)).collect();
    Card {
        title: choose(if fresh.is_empty() { titles.titles } else { &fresh }),
        body: choose(&BODIES),
        priority: [0, 1, 1, 1, 2][fastrand::usize(..5)],
        labels: labels(),
    }
}

/// The cards that a new board starts with: each title once.
pub(super) fn first_cards(board: &Board, count: usize) -> Vec<Card> {
    let mut titles = board.titles.to_vec();
    fastrand::shuffle(&mut titles);
    titles.into_iter().take(count).map(|title| Card { title, ..card(board.name, &[]) }).collect()
}

/// Who is at work without being asked.
pub(super) fn team() -> Vec<&'static str> {
    USERS[GUESTS..].iter().map(|(id, ..)| *id).collect()
}

pub(super) fn comment() -> &'static str {
    choose(&COMMENTS)
}

pub(super) fn labels() -> Vec<&'static str> {
    fastrand::choose_multiple(LABELS, fastrand::usize(..=2))
}

fn choose(texts: &[&'static str]) -> &'static str {
    texts[fastrand::usize(..texts.len())]
}
