"""What a data folder keeps, and for whom."""

import json
from pathlib import Path

import pytest

from stack.data_dir import DataDir, write_private_json
from stack.errors import StackError


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "deep" / "data")
    data.open()
    first = data.secrets()
    assert data.secrets() == first
    assert _mode(data.root / "secrets.json") == 0o600
    assert first.admin_api_key.startswith("perdure_")
    assert first.stripe_webhook_secret.startswith("whsec_")
    assert len(first.jwt_secret) >= 32
    data.close()


def test_two_folders_have_different_secrets(tmp_path: Path) -> None:
    secrets = []
    for name in ("one", "other"):
        data = DataDir(tmp_path / name)
        data.open()
        secrets.append(data.secrets())
        data.close()
    assert secrets[0] != secrets[1]


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    data = DataDir(tmp_path)
    data.open()
    with pytest.raises(StackError, match=r"secrets\.json cannot be read"):
        data.secrets()
    assert (tmp_path / "secrets.json").read_text() == "{"
    data.close()


def test_a_folder_belongs_to_one_stack_at_a_time(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.open()
    with pytest.raises(StackError, match=r"a stack runs on .* already \(pid \d+\)"):
        second.open()
    second.close()
    assert first.root.exists()
    first.close()
    second.open()
    second.close()


def test_a_refused_stack_leaves_the_other_ones_facts_alone(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.open()
    write_private_json(first.stack_file, {"ready": True})
    with pytest.raises(StackError):
        second.open()
    second.close()
    assert json.loads(first.stack_file.read_text()) == {"ready": True}
    first.close()
    assert not first.stack_file.exists()


def test_opening_forgets_old_facts_and_old_counts(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "counter_1.db").write_text("old")
    (tmp_path / "stack.json").write_text("{}")
    data = DataDir(tmp_path)
    data.open()
    assert not data.stack_file.exists()
    assert list(data.metrics.iterdir()) == []
    data.close()


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private_json(path, {"ready": True})
    assert json.loads(path.read_text()) == {"ready": True}
    assert _mode(path) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["stack.json"]


def test_a_file_in_the_folders_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StackError, match="cannot be used"):
        DataDir(tmp_path / "data").open()
