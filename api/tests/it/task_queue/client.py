"""Speaks as existing Python clients of the task-queue API do, and checks what they rely on. Argument: the API's address."""
import json
import sys
import urllib.error
import urllib.request
import warnings
from enum import IntEnum

Stage = IntEnum("Stage", {"WAITING": 0, "PROCESSING": 1, "SUCCESS": 2, "FAIL": 3})


class Client:
    def __init__(self, base):
        self.base = base + "/api/v1/queue/"

    def call(self, path, data=None):
        headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
        if data is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(data, allow_nan=False).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.loads(response.read())

    def warned(self, path, data):
        answer = self.call(path, data)
        if answer:
            for text in answer["detail"]:
                warnings.warn(text)

    def put(self, items):
        self.warned("put", items)

    def requeue(self, ids):
        self.warned("requeue", ids)

    def get(self, n=1):
        return self.call(f"get/{n}")

    def size(self, stage):
        return self.call(f"size/{stage.name}")

    def lookup_status(self, item_id):
        return Stage(self.call(f"status/{item_id}"))

    def lookup_state(self, stage):
        return self.call(f"lookup_state/{stage.name}")

    def lookup_item(self, item_id):
        item = self.call(f"lookup_item/{item_id}")
        return {**item, "status": Stage(item["status"])}


def fails(code, work):
    try:
        work()
    except urllib.error.HTTPError as error:
        assert error.code == code, error.code
    else:
        raise AssertionError("no error")


client = Client(sys.argv[1])
body = {"text": "é\0", "big": 10**40, "float": 1.0, "none": None, "nested": {"b": [1, 2], "a": {}}}
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    client.put({f"item-{n}": body for n in range(100)})
    assert not seen, seen
    client.put({"item-7": 0, "it's": [1]})
    assert [str(w.message) for w in seen] == ["Item 'item-7' already in queue. Skipping."], seen
    client.requeue("it's")
    assert str(seen[-1].message) == "Item 'it's' not in a FAIL state. Skipping.", seen[-1]
    client.requeue([])
assert client.call("sizes") == {"WAITING": 101, "PROCESSING": 0, "SUCCESS": 0, "FAIL": 0}
got = client.get(2)
assert got == [["item-0", body], ["item-1", body]], got
assert json.dumps(got[0][1]) == json.dumps(body)
assert client.get() == [["item-2", body]]
assert client.lookup_status("item-0") is Stage.PROCESSING
assert client.size(Stage.PROCESSING) == 3
assert client.lookup_state(Stage.PROCESSING) == ["item-0", "item-1", "item-2"]
assert client.lookup_item("item-9") == {"item_id": "item-9", "status": Stage.WAITING, "item_body": body}
assert len(client.get(1000)) == 98
described = client.call("describe")
assert described["implementation"] == "SQLQueue" and all(isinstance(v, (str, dict)) for v in described.values())
fails(400, lambda: client.lookup_status("nope"))
fails(404, lambda: client.lookup_status(""))
fails(422, lambda: client.get(0))
print("all is well")
