"""Every word that the page shows."""

TITLE = "Remanence"
TAGLINE = "A chat that remembers what you tell it."

LOGIN_LABEL = "Your name"
LOGIN_BUTTON = "Come in"
PASSWORD_LABEL = "Password"
LOGIN_HINT = "Who has no account here yet asks an admin for one."
FIRST_PASSWORD_LABEL = "A password, if this shall be yours alone"
OPEN_LOGIN_HINT = (
    "Nobody has a password yet: a name is all it takes, on this computer only."
    " Whoever sets the first one becomes the admin, and from then on everybody needs one."
)

SIGNED_IN_AS = "Signed in as **{name}**"
NEW_SESSION = "New chat"
SESSIONS = "Chats"
LOG_OUT = "Log out"
LOG_OUT_EVERYWHERE = "Log out everywhere"

PLACEHOLDER = "Say something"
EMPTY_SESSION = "Tell me something about yourself, and ask me about it another day."
STOPPED = "*(stopped)*"
FAILED = "Something went wrong that should not; the log in the data folder says what."

MEMORY = "Memory: turns read {turns:,} · tokens {tokens:,} · revision {revision}"
MEMORY_OFF = "Memory: off"
ANSWERED = " · prompt tokens {prompt_tokens:,} · {seconds:.1f} s"
READING = " · reading this turn"
