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
SEND = "Send"
CHOOSE_DAY = "Choose a day"
EMPTY_SESSION = "Tell me something about yourself, and ask me about it another day."
STOPPED = "*(stopped)*"
FAILED = "Something went wrong that should not; the log in the data folder says what."

FOREIGN_TAB = "That tab is somebody else's."
NO_FILES = "Files are not taken this way."
NO_DEEP_LINK = "No link is made to what stands on a page."
NO_EVENT = "That is no event of this page."
TOO_MUCH_AT_ONCE = "That is too much at once."

MEMORY = "Memory: turns read {turns:,} · tokens {tokens:,} · revision {revision}"
MEMORY_UPDATED = (
    "Memory updated (Undo takes it back): turns read {turns:,} · tokens {tokens:,} · revision {revision}"
)
MEMORY_NOT_UPDATED = "Memory not updated: {why}"
WHY_OFF = "it is off"
WHY_LEFT_OUT = "this chat is left out"
ANSWERED = " · prompt tokens {prompt_tokens:,} · {seconds:.1f} s"
ANSWERED_FOR_LESS = (
    " · prompt tokens {prompt_tokens:,}; with everything you said and were told before, {history_tokens:,}"
    " · {seconds:.1f} s"
)
UNREAD = " · still to be read {unread:,}"
READING = " · reading this turn"

CHAT_TAB = "Chat"
MEMORY_TAB = "My memory"
EXAMPLES = (
    "My parrot is called Biscuit.",
    "I live in Lisbon and work as a welder.",
    "What is my parrot called?",
)
REPLY_FAILED = "*(this reply failed)*"
TRY_AGAIN = "Try again"

TEMPORARY = "Temporary chat"
TEMPORARY_HINT = "Neither stored nor remembered."
TEMPORARY_LINE = "Temporary chat: nothing of it is stored, and memory is off."
THIS_SESSION = "This chat"
# chat: finding, pinning, branching, documents
SEARCH = "Search what was said"
FOUND = "Found in {number:,}"
NOTHING_FOUND = "Nothing was found."
PIN = "Keep it at the top"
PINNED = "★ {name}"
EARLIER = "Show the earlier messages"
BRANCH = "Branch from here"
BRANCHED = "This chat goes on from there; the other one stays as it is."
GIVE_DOCUMENT = "Give it a document to remember"
DOCUMENT = "Document: {name}"
DOCUMENT_GIVEN = "The document is being read into memory; forget it by deleting it from the list."
DOCUMENT_NOT_SENT = "The document could not be sent; try again."
DOCUMENT_STAYS = "A document is not changed here: delete it to have it forgotten."
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
CHANGED_ELSEWHERE = "This chat has changed in another window: load the page again to go on."

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
# A title that is wider than a telephone leaves its picture no room.
SPECTRUM = "Strength of the directions in use"
LAYER = "{number}"
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

# My memory: what each chat added, what the model says it remembers, taking along and bringing.
MEMORY_HEADING = "What your memory has read"
MEMORY_MORE = "Look closer"
MEMORY_CHANGE = "Forget, take along, bring"
STOP = "Stop"
ADDED_TITLE = "What each chat added"
ADDED_HINT = (
    "Reads everything you said again, chat by chat, beside the memory; that may take a while, and you can"
    " stop it. The bars are what was read; the lines, one for each layer, how widely the memory is spread"
    " once it was: a chat that says little new makes its bar, but hardly moves the lines."
)
ADDED_BUTTON = "Show it"
ADDED_TOKENS = "Tokens read of each chat"
ADDED_RANKS = "Effective rank after each chat"
ADDED_AXIS = "chat"
ADDED_SO_FAR = "Chats read: {done:,} of {total:,}."
ADDED_NOTHING = "Memory reads none of your chats yet."
ADDED_TABLE = "\n\n| | chat | messages | tokens |\n|---:|---|---:|---:|\n"
ADDED_OLDER = "\n\nOnly the newest {shown} are listed."

PROBE_TITLE = "What do you remember about me?"
PROBE_HINT = (
    "Asks the model {number} everyday questions, each in a chat of its own, with nothing of what you said in"
    " the prompt. **These are the model's words, and many may be wrong:** it mixes up who is who, and answers"
    " what you never told it. Nothing of this is stored."
)
PROBE_BUTTON = "Ask it"
PROBE_TABLE = "| question | the model says |\n|---|---|\n"
PROBE_SO_FAR = "Asked: {asked} of {total}. It said of {unknown} that it does not know."

TAKEOUT_TITLE = "Take along, or bring"
EXPORT_HINT = (
    "Everything that is kept of you in one zip: chats, memory, adapter, and a list of what is in it. Whoever"
    " has the file can read what you said."
)
EXPORT_BUTTON = "Download everything"
EXPORTING = "The file is being made."
EXPORTED = "The file was given to your browser."
IMPORT_FILE = "A file to bring"
IMPORT_HINT = (
    "Such a zip, chats as JSON or JSONL, ChatGPT's conversations.json, or MSC; at most {mib:,.0f} MiB. All of"
    " it is taken in or nothing; what is there already stays, so the same file twice is there twice."
)
IMPORT_BUTTON = "Bring it"
IMPORT_NOTHING = "Choose a file first."
IMPORT_TOO_LARGE = "The file is larger than {mib:,.0f} MiB, the most that this server takes."
IMPORTING = "The file is being sent and read."
IMPORTED = "Taken in, messages: {turns}. Memory reads them now."
UNREACHABLE = "The server could not be reached, or broke off; try again."

# The demo.
DEMO_TITLE = "Demo: what does it recall?"
DEMO_LINK = "See what it recalls: the demo, no account needed"
DEMO_BACK = "To the chat"
DEMO_INTRO = (
    "Choose somebody, let the sessions be folded into a memory of fixed size, then ask. The same model"
    " answers four times: with no memory, with the whole history in its prompt, with the messages that a"
    " search finds in its prompt, and with the adapter made from the memory and none of the old messages."
)
DEMO_CAUTION = (
    "**What to expect.** The model that ships is very small. Of five facts said in passing it recalls about"
    " half, of more facts less; old messages in its prompt hardly help it. The sample people were made"
    " up by the generator that the model was trained with, with values it never saw, and nobody chose them"
    " for their scores. Wrong answers are shown as they come."
)
DEMO_WHO = "1. Whose sessions?"
DEMO_PERSON = "Sample person {number} · {sessions} sessions · {turns} turns"
DEMO_OWN = "A dialogue of your own"
DEMO_DIALOGUE = "The dialogue, as JSON lines"
DEMO_DIALOGUE_HINT = (
    "A line for each session, a list of messages with role and content; or what `remanence import` and"
    " `eval recall` read, MSC too. At most {bytes:,} bytes and {turns} turns. It is not stored."
)
DEMO_FILE = "Or take it from a file"
DEMO_SAID = "What was said"
DEMO_SESSION = "Session {number}"
DEMO_PERSON_SAYS = "Person"
DEMO_ASSISTANT_SAYS = "Assistant"
DEMO_FOLD = "2. Fold the sessions into a memory"
DEMO_FOLD_BUTTON = "Fold"
DEMO_FOLD_COLUMNS = (
    "Session",
    "Turns read",
    "Tokens read",
    "Memory, bytes",
    "Prompt with history, tokens",
)
DEMO_FOLDING = "Reading: {turns} of {of} turns."
DEMO_FOLDED = (
    "All {turns} turns are in the memory. It is as large as after the first, and a prompt for the adapter is"
    " as long as one without memory."
)
DEMO_TOKENS_CHART = "Prompt tokens, by turns folded"
DEMO_TIME_CHART = "First token (ms), by turns folded"
DEMO_ASK = "3. Ask about it"
DEMO_QUESTIONS = "Questions of this person"
DEMO_QUESTION = "Your question"
DEMO_ASK_BUTTON = "Ask"
DEMO_PROBE = "What do you know about me?"
DEMO_ASKING = "Asking."
DEMO_SCORE = "4. Ask all questions, and count"
DEMO_SCORE_BUTTON = "Ask all"
DEMO_SCORED = (
    "Right: the expected answer stands in the reply, case, punctuation and articles aside. To what was never"
    " said, right is to say so."
)
DEMO_NO_QUESTIONS = "This dialogue brings no questions of its own."
DEMO_METHODS = {
    "none": ("None", "No memory: the model alone."),
    "history": ("History", "Everything said is in the prompt."),
    "retrieval": (
        "Retrieval",
        "The {turns} turns that match best are in the prompt (BM25, SQLite full-text search).",
    ),
    "memory": ("Adapter", "The memory that read the sessions; no old message is in the prompt."),
}
DEMO_CUT = "Cut: not all of it fits into {tokens:,} tokens of prompt."
DEMO_RIGHT = "Right"
DEMO_WRONG = "Wrong"
DEMO_EXPECTED_ANSWER = "Expected: {answer}"
DEMO_EXPECTED_NONE = "It was never said."
DEMO_NO_REPLY = "(no reply)"
DEMO_COSTS = ("Prompt tokens", "First token", "In all", "Kept to answer so")
DEMO_MS = "{ms:,.0f} ms"
DEMO_BYTES = "{bytes:,} bytes"
DEMO_SCORE_QUESTION = "Question"
DEMO_EXPECTED = "Expected"
DEMO_NEVER_SAID = "(never said)"
DEMO_COUNTED = "Right of {n} answerable"
DEMO_DECLINED = "Declined of {n} never said"
DEMO_COUNT = "{right} ({share:.0%})"

# The admin's desk
DESK_LINK = "Admin's desk"
DESK_TITLE = "Admin's desk"
DESK_SIGNED_IN = "Signed in as {name}"
DESK_INTRO = (
    "What you do here to somebody stands in the audit log, with your name and your reason."
    " What people said is not shown."
)
DESK_PEOPLE = "People"
DESK_JOBS = "Jobs"
DESK_AUDIT = "Audit log"
DESK_SERVER = "Server"
DESK_SEARCH = "Search names"
DESK_NOBODY = "Nobody is called like that."
DESK_MORE = "Only the first {number:,} are listed: search for the others."
DESK_PEOPLE_HEADINGS = ("Name", "Role", "Last active", "Turns", "Bytes", "Revision", "How full")
DESK_DISABLED = "disabled"
DESK_NEVER = "never"
DESK_NOT_MEASURED = "…"
DESK_NO_MEMORY = "nothing read"
DESK_DAMAGED = "damaged: rebuild it"
DESK_PERSON = "Person"
DESK_CHOOSE = "Choose somebody to see their figures."
DESK_REASON = "Reason"
DESK_REASON_HINT = "For the audit log; every act takes one."
DESK_FIGURE_HEADINGS = ("Figure", "Value")
DESK_SINCE = "Account since"
DESK_PASSWORD = "Has a password"
DESK_TURNS = "Turns stored"
DESK_BYTES = "Bytes said"
DESK_OF_QUOTA = "{number:,} of {quota:,}"
DESK_FULLNESS = "How full the memory is"
DESK_FULL_OF = "How full {name} is"
DESK_REVISION = "Revision"
DESK_READ_TURNS = "Turns read"
DESK_READ_TOKENS = "Tokens read"
DESK_READ_SESSIONS = "Chats read"
DESK_UNREAD = "Turns yet to read"
DESK_SAVED = "Saved"
DESK_STATE_BYTES = "Bytes of the memory"
DESK_YES, DESK_NO = "yes", "no"
DESK_LAYERS = "Layers of the memory"
DESK_LAYER = "layer {number}"
DESK_LAYER_HEADINGS = ("Layer", "Directions in use", "Effective rank", "How full")
DESK_REBUILD = "Rebuild the memory"
DESK_DISABLE, DESK_ENABLE = "Disable", "Enable"
DESK_ROLE, DESK_ROLE_BUTTON = "Role", "Give this role"
DESK_MAX_TURNS, DESK_MAX_BYTES = "Turns at most", "Bytes at most"
DESK_QUOTA_HINT = "Empty for any number."
DESK_QUOTA_BUTTON = "Set the quota"
DESK_RESET = "Reset"
DESK_RESET_WHOM = "Everything this person said is deleted, chats and memory. It cannot be brought back."
DESK_RESET_SURE, DESK_RESET_NOT = "Delete it for good", "Keep it"
DESK_MESSAGES = "Read the messages"
DESK_MESSAGES_HINT = (
    "It takes a right that only the command line gives (`remanence user right`), and stands in the audit log."
)
DESK_MESSAGES_HEADINGS = ("When", "Chat", "Said", "Reply")
DESK_ADD = "Add a person"
DESK_ADD_NAME, DESK_ADD_PASSWORD, DESK_ADD_BUTTON = "New name", "First password", "Add"
DESK_JOB_HEADINGS = ("Number", "Person", "What", "State", "Progress", "Asked for", "How it ended")
DESK_JOB_KINDS = {
    "read": "reading",
    "rebuild": "rebuilding",
    "forget": "reading after forgetting",
    "verify": "verifying",
}
DESK_NO_JOBS = "No job runs or waits, and none ended of late but readings that went well."
DESK_TURNS_OF = "{done:,} of {total:,} turns"
DESK_JOB, DESK_CANCEL = "Job number", "Cancel the job"
DESK_AUDIT_FILTER = "Only what was done to"
DESK_AUDIT_HEADINGS = ("When", "Who", "What", "To whom", "Why")
DESK_NO_AUDIT = "Nothing was done."
DESK_COUNTS = "Since {since:%Y-%m-%d %H:%M} UTC"
DESK_COUNT_HEADINGS = ("What", "How many")
DESK_COUNT_NAMES = {
    "replies": "replies",
    "replies_failed": "replies that failed",
    "prompt_tokens": "tokens in prompts",
    "reply_tokens": "tokens in replies",
    "readings": "readings",
    "jobs_failed": "jobs that failed",
    "logins_refused": "logins refused",
}
DESK_MACHINE = "Model and machine"
DESK_MACHINE_HEADINGS = ("What", "Found", "Problem")

DESK_DONE_REBUILD = "The memory of {name} is rebuilt as job {number}; what there is answers meanwhile."
DESK_DONE_RESET = "Deleted: {turns:,} turns in {sessions:,} chats of {name}."
DESK_DONE_DISABLED = "{name} is disabled: every login and token of theirs has ended."
DESK_DONE_ENABLED = "{name} may come in again."
DESK_DONE_ROLE = "{name} has the role {role}."
DESK_DONE_QUOTA = "The quota of {name} is set."
DESK_DONE_ADDED = "{name} may come in with that password."
DESK_DONE_CANCEL = "Job {number} of {name} stops at its next turn."
DESK_WAS_OVER = "Job {number} of {name} is over ({state})."

DESK_REFUSED = "That is for admins."
DESK_REFUSED_CLOSED = (
    "Whoever runs this server can make you one: remanence user role NAME admin. After that, come back here."
)
DESK_REFUSED_OPEN = (
    "Nobody has a password here yet, so there is no admin. Log out and come in with a password of your"
    " choice: who sets the first one becomes the admin, and from then on everybody needs one. On the command"
    " line the same is: remanence user add NAME --role admin."
)
DESK_BACK = "Back to the chat"
