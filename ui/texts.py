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

CHAT_TAB = "Chat"
MEMORY_TAB = "My memory"
EXAMPLES = (
    "My parrot is called Biscuit.",
    "I live in Lisbon and work as a welder.",
    "What is my parrot called?",
)
REPLY_FAILED = "*(this reply failed; try it again)*"

TEMPORARY = "Temporary chat"
TEMPORARY_HINT = "Neither stored nor remembered."
TEMPORARY_LINE = "Temporary chat: nothing of it is stored, and memory is off."
THIS_SESSION = "This chat"
RENAME = "Name"
RENAME_BUTTON = "Rename"
SESSION_MEMORY = "Memory reads this chat"
SESSION_ON = "Memory: this chat is taken in again."
SESSION_OFF = "Memory: this chat is left out."
DELETE_SESSION = "Delete this chat"
DELETE_SESSION_SURE = "It is deleted and forgotten, and cannot be brought back."
DELETE_FOR_GOOD = "Delete for good"
KEEP = "Keep it"
NO_SESSION = "There is nothing here yet."

NOTHING_READ = "Nothing was read yet."
OVERVIEW = (
    "**{turns:,}** turns of **{sessions:,}** chats were read, **{tokens:,}** tokens of yours, since"
    " {since:%Y-%m-%d}; {unread:,} are yet to be read. All of it is kept in {kib:,.0f} KiB, however much it"
    " grows. "
)
ROOM = "There is room: {share:.0%} of the directions are in use in the fullest layer."
FILLING_UP = (
    "It is filling up: {share:.0%} of the directions are in use in the fullest layer; what is read from now"
    " on is laid over what is there."
)
SPECTRUM = "Strength of the directions in use, by layer"
LAYER = "layer {number}"
MEMORY_SWITCH = "Memory"
MEMORY_SWITCH_HINT = (
    "Off, nothing you say is remembered and nothing remembered is used. Looking and forgetting go on."
)
MEMORY_IS_ON = "Memory is on."
MEMORY_IS_OFF = "Memory is off: the model answers as if it had never met you."

WHY_TITLE = "Why this answer?"
WHY_QUESTION = "A question"
WHY_BUTTON = "Ask"
WHY_ANSWER = "The model says: {answer}\n\n| loses without it | said on | what you said |\n|---|---|---|"
WHY_CAUTION = (
    "Each message was taken out alone, and the same answer measured again (in nats). A clear loss means that"
    " this answer leans on the message; it is no proof that the answer is true. Messages that say the same"
    " cover for each other, and numbers near 0 say nothing."
)

FORGET_TITLE = "Forget"
FORGET_HINT = "What is forgotten is deleted, and the memory is read anew from the rest. It cannot be undone."
FORGET_TURN = "A message"
FORGET_SESSION = "A chat"
FORGET_BEFORE = "Everything said before this day"
FORGET_ALL = "Everything I ever said"
FORGET_BUTTON = "Forget for good"
FORGET_ONE = "Choose one thing to forget."
RECEIPT = "Forgotten: {turns:,} messages; {kept:,} are kept. Memory before `{before}`, now `{after}`."
NOTHING_SAVED = "nothing"

VERIFY_TITLE = "Is this my memory?"
VERIFY_HINT = "Reads everything you said again, beside the memory, and compares the two."
VERIFY_BUTTON = "Verify"
VERIFIED = "The memory is exactly that of what is kept: `{live}`."
NOT_VERIFIED = "The memory `{live}` is not that of what is kept, `{rebuilt}`: have it rebuilt."
