"""Run by the judges' own Python: each argument is one thing to do with Cloudflare's SDK; prints one JSON object.

Not a test by itself: the SDK is no dependency of notaus, so that it runs in another interpreter.
"""

import itertools
import json
import os
import sys

import cloudflare

client = cloudflare.Cloudflare(
    api_token=os.environ["TOKEN"], base_url=os.environ["API"], max_retries=int(os.environ.get("RETRIES", "0"))
)
account, namespace, script = os.environ["ACCOUNT"], os.environ["NAMESPACE"], "api-worker"
values = client.kv.namespaces.values
deployments, versions = client.workers.scripts.deployments, client.workers.scripts.versions


def kv_update(key, value, metadata=None):
    extra = {} if metadata is None else {"metadata": json.loads(metadata)}
    values.update(key, account_id=account, namespace_id=namespace, value=value.encode(), **extra)


def kv_get(key):
    return values.get(key, account_id=account, namespace_id=namespace).read().decode()


def kv_keys():
    return [key.name for key in client.kv.namespaces.keys.list(namespace, account_id=account)]


def kv_text(key):
    try:
        values.update(key, account_id=account, namespace_id=namespace, value="text")
    except RuntimeError:
        return "refused before any request"


def deployment_create(version, message):
    share = [{"version_id": version, "percentage": 100}]
    made = deployments.create(
        script, account_id=account, strategy="percentage", versions=share, annotations={"workers_message": message},
        extra_body={"code_update_strategy": {"mode": "immediate"}},
    )  # fmt: skip
    return made.id


def deployment_list():
    page = deployments.list(script, account_id=account)
    iterated = list(itertools.islice(page, 100)) if hasattr(page, "__iter__") else None
    raw = deployments.with_raw_response.list(script, account_id=account)
    listed = json.loads(raw.text())["result"]["deployments"]
    return {"iterated": None if iterated is None else len(iterated), "ids": [d["id"] for d in listed]}


def version_list(per_page):
    found = versions.list(script, account_id=account, per_page=int(per_page))
    return [v.id for v in itertools.islice(found, 1000)]


def version_get(version):
    # Raw: the SDK's own model of a version's bindings (5.9.0) cannot be built, whatever the answer.
    raw = versions.with_raw_response.get(version, account_id=account, script_name=script)
    return json.loads(raw.text())["result"]["number"]


def token_verify():
    return client.accounts.tokens.verify(account_id=account).status


DO = {name: thing for name, thing in list(globals().items()) if callable(thing)}
done = []
for line in sys.argv[1:]:
    name, *arguments = json.loads(line)
    try:
        done.append(DO[name](*arguments))
    except cloudflare.APIStatusError as error:
        done.append({"error": type(error).__name__, "status": error.status_code})
    except cloudflare.APIConnectionError as error:
        done.append({"error": type(error).__name__})
print(json.dumps({"version": cloudflare.__version__, "done": done}))  # noqa: T201
