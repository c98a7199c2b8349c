"""Where servers listen: the table, the environment, and free ones."""

import socket
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from stack.errors import StackError
from stack.ports import HOST, Ports, choose_ports, is_free, taken_port_message


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_the_table_holds_without_settings() -> None:
    assert choose_ports({}, is_auto=False) == Ports()


def test_the_environment_replaces_one_port() -> None:
    ports = choose_ports({"PERDURE_PORT_API": "9001"}, is_auto=False)
    assert ports == Ports(api=9001)


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(StackError, match=r"PERDURE_PORT_MAIL=.* is not a port"):
        choose_ports({"PERDURE_PORT_MAIL": text}, is_auto=False)


def test_two_names_may_not_share_a_port() -> None:
    with pytest.raises(StackError, match="8233 is given to both api and temporal_ui"):
        choose_ports({"PERDURE_PORT_API": "8233"}, is_auto=False)


def test_auto_takes_different_free_ports_and_keeps_given_ones() -> None:
    ports = asdict(choose_ports({"PERDURE_PORT_API": "9001"}, is_auto=True))
    assert ports.pop("api") == 9001
    assert len(set(ports.values())) == len(ports)
    assert all(is_free(port) for port in ports.values())
    assert not set(ports.values()) & set(asdict(Ports()).values())


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_the_message_names_port_owner_and_variable() -> None:
    message = taken_port_message("temporal_ui", 8233)
    assert "8233 (temporal_ui)" in message
    assert "PERDURE_PORT_TEMPORAL_UI" in message


def test_a_misspelled_variable_is_told() -> None:
    with pytest.raises(StackError, match=r"PERDURE_PORT_APY is not .* mean PERDURE_PORT_API\?"):
        choose_ports({"PERDURE_PORT_APY": "8001"}, is_auto=False)
