"""The same chat over a tiny random model as in the tests of app."""

from tests.app.conftest import chat as chat
from tests.app.conftest import loaded as loaded
from tests.app.conftest import settings as settings
from tests.app.conftest import store as store
