"""Workers KV: the REST API's shapes and rules, and the edge that sees writes later."""

from __future__ import annotations

import json

import httpx
import pytest

from notaus.sandbox import Lags, Sandbox

from .conftest import START, Clock


async def test_a_value_comes_back_byte_for_byte(client: httpx.AsyncClient, values: str) -> None:
    """A value changed on the way would be another configuration."""
    stored = bytes(range(256))
    put = await client.put(f"{values}/a", content=stored, headers={"Content-Type": "text/plain;charset=UTF-8"})
    assert put.json() == {"result": {}, "success": True, "errors": [], "messages": []}
    got = await client.get(f"{values}/a")
    assert (got.status_code, got.content) == (200, stored)
    assert "ratelimit" not in got.headers


@pytest.mark.parametrize(
    "value_head", ['name="value"', 'name="value"; filename="upload"\r\nContent-Type: application/octet-stream']
)
async def test_both_shapes_of_a_form_are_taken(
    client: httpx.AsyncClient, values: str, api: str, value_head: str
) -> None:
    """wrangler sends parts without a file name, the Python SDK with one."""
    body = (
        f"--xx\r\nContent-Disposition: form-data; {value_head}\r\n\r\none\r\ntwo\r\n"
        '--xx\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"by":"me"}\r\n--xx--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=xx"}
    assert (await client.put(f"{values}/a", content=body.encode(), headers=kind)).status_code == 200
    assert (await client.get(f"{values}/a")).content == b"one\r\ntwo"
    metadata = await client.get(values.replace("values", "metadata/a"))
    assert metadata.json()["result"] == {"by": "me"}


async def test_an_encoded_slash_is_part_of_the_key(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """A key split at its slash would be another key."""
    await client.put(f"{values}/a%2Fb%3Ac%20d", content=b"1")
    assert box.kv.read(box.kv_namespace, "a/b:c d") == b"1"


async def test_what_is_missing_has_its_own_code(client: httpx.AsyncClient, values: str, api: str) -> None:
    """The client tells a missing key from a wrong namespace by the code."""
    missing = await client.get(f"{values}/nothing")
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (404, 10009)
    nowhere = await client.get(f"{api}/storage/kv/namespaces/{'0' * 32}/values/a")
    assert (nowhere.status_code, nowhere.json()["errors"][0]["code"]) == (404, 10013)


async def test_a_second_write_within_a_second_is_refused(
    client: httpx.AsyncClient, box: Sandbox, values: str, clock: Clock
) -> None:
    """One write a second to a key is Cloudflare's limit, and the lever's."""
    assert (await client.put(f"{values}/a", content=b"1")).status_code == 200
    clock.now = START + 0.9
    assert (await client.put(f"{values}/a", content=b"2")).status_code == 429
    assert (await client.put(f"{values}/b", content=b"2")).status_code == 200
    clock.now = START + 1
    assert (await client.put(f"{values}/a", content=b"3")).status_code == 200
    assert box.kv.read(box.kv_namespace, "a") == b"3"


async def test_the_edge_sees_a_write_later_than_the_api(clock: Clock) -> None:
    """A read-back over the API proves nothing about the edge; verification must look there."""
    box = Sandbox(clock, seed=3, lags=Lags(kv=(20.0, 20.0)))
    box.kv.write(box.kv_namespace, "config", {"canary_percent": 5})
    assert json.loads(box.kv.read(box.kv_namespace, "config") or b"") == {"canary_percent": 5}
    for now, percent in ((START + 19.9, 10), (START + 20, 5)):
        clock.now = now
        assert json.loads(box.kv.edge(box.kv_namespace, "config") or b"")["canary_percent"] == percent


async def test_keys_are_listed_in_pages(client: httpx.AsyncClient, values: str, box: Sandbox) -> None:
    """The cursor must end, or a client that follows it never does."""
    for number in range(25):
        box.kv.write(box.kv_namespace, f"k{number:02}", b"v", metadata={"n": number})
    url, names, cursor = values.replace("values", "keys"), [], ""
    for _ in range(5):
        page = (await client.get(url, params={"prefix": "k", "limit": 10, "cursor": cursor})).json()
        names += [entry["name"] for entry in page["result"]]
        cursor = page["result_info"]["cursor"]
        if not cursor:
            break
    assert names == [f"k{number:02}" for number in range(25)]
    assert page["result"][-1] == {"name": "k24", "metadata": {"n": 24}}


async def test_a_key_expires(client: httpx.AsyncClient, values: str, clock: Clock) -> None:
    """Sixty seconds is the least, and the expiry shows in a header."""
    assert (await client.put(f"{values}/a?expiration_ttl=59", content=b"1")).status_code == 400
    assert (await client.put(f"{values}/a?expiration_ttl=60", content=b"1")).status_code == 200
    assert (await client.get(f"{values}/a")).headers["expiration"] == str(int(START) + 60)
    clock.now = START + 60
    assert (await client.get(f"{values}/a")).status_code == 404


async def test_bulk_writes_reads_and_deletes(client: httpx.AsyncClient, values: str) -> None:
    """wrangler's bulk commands use these."""
    root = values.removesuffix("/values")
    put = await client.put(
        f"{root}/bulk", json=[{"key": "a", "value": "1"}, {"key": "b", "value": "Mg==", "base64": True}]
    )
    assert put.json()["result"] == {"successful_key_count": 2, "unsuccessful_keys": []}
    got = await client.post(f"{root}/bulk/get", json={"keys": ["a", "b", "c"]})
    assert got.json()["result"] == {"values": {"a": "1", "b": "2", "c": None}}
    await client.post(f"{root}/bulk/delete", json=["a"])
    assert (await client.get(f"{values}/a")).status_code == 404


async def test_namespaces_are_listed_made_and_removed(client: httpx.AsyncClient, values: str) -> None:
    """A title must be unique."""
    root = values.removesuffix("/values").rpartition("/")[0]
    made = (await client.post(root, json={"title": "NEW"})).json()["result"]
    assert (await client.post(root, json={"title": "NEW"})).json()["errors"][0]["code"] == 10014
    titles = [entry["title"] for entry in (await client.get(root)).json()["result"]]
    assert sorted(titles) == ["KV_CANARY_CONFIG", "NEW"]
    await client.delete(f"{root}/{made['id']}")
    assert (await client.get(f"{root}/{made['id']}")).json()["errors"][0]["code"] == 10013


async def test_writes_are_kept_with_who_made_them(client: httpx.AsyncClient, box: Sandbox, values: str) -> None:
    """Scenarios and tests count writes; a second pair of hands must not count as ours."""
    await client.put(f"{values}/config", content=b'{"canary_percent":5}')
    box.kv.write(box.kv_namespace, "config", {"canary_percent": 8})
    assert [(write.by, write.kind, write.what["value"]) for write in box.writes] == [
        ("api", "kv", {"canary_percent": 5}),
        ("human", "kv", {"canary_percent": 8}),
    ]
