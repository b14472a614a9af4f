"""Signatures of artifacts: by a key pair, offline; another key, changed, new and lost files are refused."""

import shutil

import pytest

pytest.importorskip("model_signing")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from neuron_catalog import NeuronAutoModel, load_artifact
from neuron_catalog.errors import RequestError, UsageError, VerificationError
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.signing import PUBLIC_KEY, SIGNATURE, Signer, require_signed, sign
from neuron_catalog.transfer import downloaded_artifact, upload_artifact


def write_pair(folder, name, key):
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path, "mine", ec.generate_private_key(ec.SECP256R1()))


def test_what_was_signed_is_accepted_and_loaded(artifact, pair, monkeypatch):
    assert sign(artifact, pair[0]) == artifact / SIGNATURE
    require_signed(artifact, Signer(pair[1]))
    monkeypatch.setenv(PUBLIC_KEY, str(pair[1]))
    load_artifact(artifact)


def changed(artifact):
    (artifact / "config.json").write_text("{}")


def added(artifact):
    (artifact / "more.json").write_text("{}")


def hidden(artifact):
    (artifact / ".gitignore").write_text("model.pt")


def lost(artifact):
    (artifact / "config.json").unlink()


def changed_with_its_manifest(artifact):
    path = artifact / "neuron_catalog.json"
    path.write_text(path.read_text().replace('"fill-mask"', '"fill-musk"'))


def linked(artifact):
    shutil.move(artifact / "config.json", artifact.parent / "config.json")
    (artifact / "config.json").symlink_to(artifact.parent / "config.json")


@pytest.mark.parametrize("harm", [changed, added, hidden, lost, changed_with_its_manifest, linked])
def test_what_was_changed_since_is_refused(harm, artifact, pair, monkeypatch):
    sign(artifact, pair[0])
    harm(artifact)
    with pytest.raises(VerificationError, match=r"was not signed by the key .* or was changed since"):
        require_signed(artifact, Signer(pair[1]))
    monkeypatch.setenv(PUBLIC_KEY, str(pair[1]))
    with pytest.raises(VerificationError):
        load_artifact(artifact)


def edited(artifact):
    (artifact / CARD_NAME).write_text("# mine")


def without_card(artifact):
    (artifact / CARD_NAME).unlink()


@pytest.mark.parametrize("change", [edited, without_card])
def test_the_card_may_be_edited(change, artifact, pair, monkeypatch):
    sign(artifact, pair[0])
    change(artifact)
    require_signed(artifact, Signer(pair[1]))
    monkeypatch.setenv(PUBLIC_KEY, str(pair[1]))
    load_artifact(artifact)
    added(artifact)
    with pytest.raises(VerificationError):
        require_signed(artifact, Signer(pair[1]))


def test_a_card_may_be_added(artifact, pair):
    without_card(artifact)
    sign(artifact, pair[0])
    edited(artifact)
    require_signed(artifact, Signer(pair[1]))


@pytest.mark.parametrize("place", ["inner", "inner/deeper"])
def test_only_the_card_in_the_root_may_be_edited(place, artifact, pair):
    (artifact / place).mkdir(parents=True)
    (artifact / place / CARD_NAME).write_text("# theirs")
    sign(artifact, pair[0])
    (artifact / place / CARD_NAME).write_text("# mine")
    with pytest.raises(VerificationError, match="was changed since"):
        require_signed(artifact, Signer(pair[1]))


def test_a_folder_in_place_of_the_card_is_refused(artifact, pair):
    sign(artifact, pair[0])
    without_card(artifact)
    (artifact / CARD_NAME).mkdir()
    (artifact / CARD_NAME / "more.json").write_text("{}")
    with pytest.raises(VerificationError, match=r"has a folder README\.md"):
        require_signed(artifact, Signer(pair[1]))
    with pytest.raises(VerificationError, match=r"has a folder README\.md"):
        sign(artifact, pair[0])


def test_a_card_that_links_out_of_the_artifact_is_refused(artifact, pair, tmp_path):
    sign(artifact, pair[0])
    without_card(artifact)
    (tmp_path / "secret").write_text("secret")
    (artifact / CARD_NAME).symlink_to(tmp_path / "secret")
    with pytest.raises(VerificationError):
        require_signed(artifact, Signer(pair[1]))


def test_what_was_signed_before_there_were_cards_is_accepted(artifact, pair):
    """Then nothing but the signature itself was left out."""
    from model_signing import hashing, signing

    without_card(artifact)
    before = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    config = signing.Config().set_hashing_config(before)
    config.use_elliptic_key_signer(private_key=pair[0])
    config.sign(artifact, artifact / SIGNATURE)
    require_signed(artifact, Signer(pair[1]))


def test_another_key_is_refused(artifact, pair, tmp_path):
    _, other = write_pair(tmp_path, "other", ec.generate_private_key(ec.SECP256R1()))
    sign(artifact, pair[0])
    with pytest.raises(VerificationError, match="was not signed by"):
        require_signed(artifact, Signer(other))


def test_what_is_not_signed_is_refused(artifact, pair, monkeypatch):
    with pytest.raises(VerificationError, match=r"is not signed: it has no model\.sig"):
        require_signed(artifact, Signer(pair[1]))
    monkeypatch.setenv(PUBLIC_KEY, str(pair[1]))
    with pytest.raises(VerificationError, match="is not signed"):
        load_artifact(artifact)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"mediaType": "x"}'])
def test_a_damaged_signature_is_refused(text, artifact, pair):
    (artifact / SIGNATURE).write_text(text)
    with pytest.raises(VerificationError):
        require_signed(artifact, Signer(pair[1]))


def test_keys_that_are_none_are_told(artifact, pair, tmp_path):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no key")
    wrong, _ = write_pair(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    for key in (garbage, wrong):
        with pytest.raises(RequestError, match="prime256v1"):
            sign(artifact, key)
        assert not (artifact / SIGNATURE).exists()
    with pytest.raises(RequestError, match="There is no key"):
        sign(artifact, tmp_path / "absent.pem")
    sign(artifact, pair[0])
    with pytest.raises(RequestError, match="is no public key"):
        require_signed(artifact, Signer(garbage))


def test_what_is_no_artifact_is_not_signed(tmp_path, pair):
    with pytest.raises(RequestError, match="is no exported artifact"):
        sign(tmp_path, pair[0])


@pytest.mark.parametrize(
    "given", [{}, {"identity": "me"}, {"public_key": "k", "identity": "me", "identity_provider": "p"}]
)
def test_a_signer_is_a_key_or_an_identity(given):
    with pytest.raises(UsageError):
        Signer(**given)


def test_the_signature_travels_along(artifact, pair, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    sign(artifact, pair[0])
    upload_artifact(artifact, f"file://{tmp_path}/store")
    folder = downloaded_artifact(f"file://{tmp_path}/store")
    require_signed(folder, Signer(pair[1]))


def test_the_signature_is_saved_with_the_model(artifact, pair, tmp_path):
    sign(artifact, pair[0])
    NeuronAutoModel.from_pretrained(artifact).save_pretrained(tmp_path / "saved")
    require_signed(tmp_path / "saved", Signer(pair[1]))


def test_the_commands(artifact, pair, run):
    assert run("sign", str(artifact), "--private_key", str(pair[0]))[0] == 0
    code, out, _ = run("verify", str(artifact), "--public_key", str(pair[1]))
    assert (code, "Signed by the key " in out) == (0, True)
    assert "It is signed" in run("verify", str(artifact))[1]
    added(artifact)
    code, _, err = run("verify", str(artifact), "--public_key", str(pair[1]))
    assert (code, "was not signed by" in err) == (6, True)
    assert run("verify", str(artifact), "--identity", "me")[0] == 2
