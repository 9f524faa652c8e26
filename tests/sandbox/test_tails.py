"""Live tails: each request to a script is told to its listeners, without what identifies a person."""

from __future__ import annotations

import json

import httpx

from notaus.sandbox import Behaviour, Sandbox
from notaus.sandbox.tails import EVENTS_KEPT


async def test_a_tail_tells_the_requests_of_its_script(client: httpx.AsyncClient, box: Sandbox, api: str) -> None:
    """`wrangler tail` would stay silent, show another script's requests, or somebody's cookie."""
    made = (await client.post(f"{api}/workers/scripts/pix-immo-api/tails", json={})).json()["result"]
    (tail,) = box.tails.of("pix-immo-api")
    box.pix_immo.cohorts["proxy"] = Behaviour(1.0)
    headers = {"Cookie": "pix_cohort=proxy; session=secret", "Authorization": "Bearer secret"}
    await client.get("https://api.pix.immo/api/listings", headers=headers)
    await client.get("https://api.oooefam.net/health")
    text = tail.events.get_nowait()
    event = json.loads(text)
    assert (made["id"], tail.events.empty(), "secret" in text) == (tail.id, True, False)
    assert (event["scriptName"], event["outcome"]) == ("pix-immo-api", "ok")
    assert event["event"]["request"]["url"] == "https://api.pix.immo/api/listings"
    assert event["event"]["response"] == {"status": 500}


async def test_a_tail_that_nobody_listens_to_does_not_grow(client: httpx.AsyncClient, box: Sandbox, api: str) -> None:
    """A forgotten tail would eat the sandbox's memory; a closed one is gone."""
    one = f"{api}/workers/scripts/pix-immo-api/tails"
    id = (await client.post(one, json={})).json()["result"]["id"]
    (tail,) = box.tails.of("pix-immo-api")
    for _ in range(EVENTS_KEPT):
        tail.events.put_nowait("{}")
    assert (await client.get("https://api.pix.immo/api/qa")).status_code == 200
    assert tail.events.qsize() == EVENTS_KEPT
    await client.delete(f"{one}/{id}")
    assert box.tails.of("pix-immo-api") == []
