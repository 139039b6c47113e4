"""Credentials: the client's order, one sentence for what is wrong with them, and no secret in it."""

import base64
import json
import sys
from pathlib import Path

import kaggle_server
import pytest

from kit.competition import client, credentials
from kit.errors import KitError

kaggle = kaggle_server.kaggle
SECRET = kaggle_server.KEY
TOKEN = "KGAT_" + SECRET
LEGACY = json.dumps({"username": "ada", "key": SECRET})
LEGACY_HEADER = "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode()


@pytest.fixture
def home(kaggle, tmp_path, monkeypatch):
    """A home folder without credentials."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name)
    kaggle_server.forget_client()
    yield tmp_path / "home"
    kaggle_server.forget_client()


def write(home, name, text, mode=0o600):
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def used(kaggle):
    """The Authorization header of a request that the real client makes now."""
    kaggle_server.forget_client()
    client.connect().competition_submissions("some-competition")
    return kaggle.authorizations[-1]


@kaggle_server.RECENT
def test_the_client_finds_what_was_located_in_the_same_order(kaggle, home, monkeypatch):
    """Weakest first: each kind of credentials that is added is preferred to those before it."""
    login = {"refresh_token": "r", "access_token": "oauth", "username": "ada",
             "access_token_expiration": "2999-01-01T00:00:00+00:00"}  # fmt: skip
    write(home, ".kaggle/credentials.json", json.dumps(login))
    found = [(credentials.locate()[0], used(kaggle))]
    write(home, ".kaggle/kaggle.json", LEGACY)
    found.append((credentials.locate()[0], used(kaggle)))
    write(home, ".kaggle/access_token", "file-token")
    found.append((credentials.locate()[0], used(kaggle)))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "variable-token")
    found.append((credentials.locate()[0], used(kaggle)))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("KAGGLE_DATA_PROXY_URL", "http://localhost")
    monkeypatch.setenv("KAGGLE_API_V1_TOKEN", str(write(home, "session", "session-token")))
    found.append((credentials.locate()[0], used(kaggle)))
    places, headers = zip(*found, strict=True)
    assert headers == (
        "Bearer oauth",
        LEGACY_HEADER,
        "Bearer file-token",
        "Bearer variable-token",
        "Bearer session-token",
    )
    expected = ("auth login", "kaggle.json", "access_token", "KAGGLE_API_TOKEN", "session")
    assert all(word in place for word, place in zip(expected, places, strict=True))


def test_none_at_all_says_where_to_get_and_put_them(home):
    with pytest.raises(KitError, match=r"kaggle\.com/settings/api.*access_token.*KAGGLE_API_TOKEN.*auth login"):
        client.connect()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("kaggle.json", "{" + SECRET, "not the JSON that Kaggle gives; download it again"),
        ("kaggle.json", json.dumps([SECRET]), "not the JSON"),
        ("kaggle.json", json.dumps({"username": "ada"}), "must hold"),
        ("kaggle.json", json.dumps({"username": "", "key": SECRET}), "must hold"),
        ("access_token", LEGACY, "holds the text of a kaggle.json"),
        ("access_token", f"two words {SECRET}", "is not a token"),
        ("credentials.json", json.dumps({"access_token": SECRET}), "auth login"),
        ("credentials.json", SECRET, "not the JSON"),
    ],
)
def test_malformed_files_are_named_without_their_content(kaggle, home, name, text, sentence):
    write(home, f".kaggle/{name}", text)
    with pytest.raises(KitError, match=sentence) as refused:
        client.connect()
    assert SECRET not in repr(refused.value) + repr(refused.value.__context__)
    assert kaggle.calls == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"KAGGLE_API_TOKEN": LEGACY}, "holds the text of a kaggle.json"),
        ({"KAGGLE_API_TOKEN": "/no/such/file"}, "names a file that does not exist"),
        ({"KAGGLE_USERNAME": "ada"}, "only one of"),
        ({"KAGGLE_KEY": SECRET}, "only one of"),
    ],
)
def test_malformed_variables_are_named_without_their_content(home, monkeypatch, variables, sentence):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KitError, match=sentence) as refused:
        client.connect()
    assert SECRET not in repr(refused.value)


@kaggle_server.RECENT
def test_a_user_name_in_the_environment_and_a_key_in_the_file_work_together(kaggle, home, monkeypatch):
    write(home, ".kaggle/kaggle.json", json.dumps({"key": SECRET}))
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    assert used(kaggle) == LEGACY_HEADER


@pytest.mark.parametrize("name", ["kaggle.json", "access_token"])
def test_a_file_that_others_can_read_is_pointed_out_and_used(kaggle, home, capsys, name):
    path = write(home, f".kaggle/{name}", LEGACY if name == "kaggle.json" else TOKEN, mode=0o644)
    used(kaggle)
    printed = "".join(capsys.readouterr())
    assert f"chmod 600 {path}" in printed
    assert printed.count("\n") == 1  # the client's own warning is not shown beside it
    path.chmod(0o600)
    used(kaggle)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("answer", [401, 400, 403])
def test_an_expired_token_is_named_with_its_cure(kaggle, home, monkeypatch, answer):
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    kaggle.fail("IntrospectToken", *[answer] * 9)
    with pytest.raises(KitError, match=r"KAGGLE_API_TOKEN: they are expired.*create new ones at https") as refused:
        client.connect()
    assert SECRET not in repr(refused.value)


def test_an_expired_token_is_not_hidden_by_a_key_that_works(kaggle, home, monkeypatch):
    """The client signs in with the key then, and sends the token with every request."""
    write(home, ".kaggle/kaggle.json", LEGACY)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    kaggle.accepts = lambda authorization: authorization == LEGACY_HEADER
    kaggle.fail("IntrospectToken", *[403] * 9)
    with pytest.raises(client.Refused, match="KAGGLE_API_TOKEN: they are expired"):
        client.connect()


def test_a_revoked_key_is_found_out_by_the_first_request(kaggle, home, tmp_path):
    from kit.competition import commands as competition

    write(home, ".kaggle/kaggle.json", LEGACY)
    kaggle.accepts = lambda authorization: False
    with pytest.raises(client.Refused, match=r"401: Unauthenticated; create new credentials at https") as refused:
        competition.download(folder=tmp_path / "data")
    assert SECRET not in repr(refused.value)


def test_no_network_is_not_taken_for_bad_credentials(home, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(KitError, match="no connection to Kaggle"):
        client.connect()


def test_the_folder_of_the_legacy_key_follows_the_client(home, monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "elsewhere"))
    path = write(tmp_path, "elsewhere/kaggle.json", LEGACY)
    assert credentials.locate() == (str(path), False)
    monkeypatch.delenv("KAGGLE_CONFIG_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    path = write(tmp_path, "xdg/kaggle/kaggle.json", LEGACY)
    assert credentials.locate() == (str(path), False)
    (Path(home) / ".kaggle").mkdir()
    with pytest.raises(KitError, match="no Kaggle credentials"):
        credentials.locate()


@pytest.mark.parametrize(
    ("name", "text"), [("access_token", TOKEN), ("kaggle.json", LEGACY), ("credentials.json", LEGACY)]
)
def test_a_byte_order_mark_is_named_with_its_cure(kaggle, home, name, text):
    write(home, f".kaggle/{name}", "\ufeff" + text)
    with pytest.raises(KitError, match=rf"{name} begins with a byte-order mark.*save it again") as refused:
        client.connect()
    assert SECRET not in repr(refused.value)
    assert kaggle.calls == []


@pytest.mark.parametrize("token", ["\ufeff" + TOKEN, TOKEN + "é", TOKEN[:5] + "\x07" + TOKEN[5:]])
def test_a_token_of_other_characters_is_refused_before_it_is_sent(kaggle, home, monkeypatch, token):
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(KitError, match="KAGGLE_API_TOKEN is not a token") as refused:
        client.connect()
    assert SECRET not in repr(refused.value)


def test_an_old_client_that_cannot_use_a_login_is_named(kaggle, home, monkeypatch):
    write(home, ".kaggle/credentials.json", json.dumps({"refresh_token": "r"}))
    monkeypatch.setattr(client, "_signed_in", lambda: sys.exit(1))  # as kaggle 2.0 does, which looks for no login
    monkeypatch.setattr(credentials.metadata, "version", lambda name: "2.0.2")
    with pytest.raises(client.Refused, match=r"version 2\.0\.2 of the kaggle client cannot use the login.*--upgrade"):
        client.connect()
    monkeypatch.setattr(credentials.metadata, "version", lambda name: "2.2.5")
    with pytest.raises(client.Refused, match="they are expired"):
        client.connect()


@kaggle_server.RECENT
def test_an_old_client_that_wants_name_and_key_in_one_place_is_named(kaggle, home, monkeypatch):
    from kaggle.api.kaggle_api_extended import KaggleApi

    def refuse(self):  # as kaggle 2.0 does with a key-only file beside KAGGLE_USERNAME
        raise ValueError("Error: Missing username in configuration.")

    write(home, ".kaggle/kaggle.json", json.dumps({"key": SECRET}))
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setattr(KaggleApi, "authenticate", refuse)
    with pytest.raises(client.Refused, match="wants user name and key in one place"):
        client.connect()
