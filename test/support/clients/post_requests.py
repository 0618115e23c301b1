"""Posts with requests: json, a string, a form, a generator, files."""
import sys
import requests

url = sys.argv[1]
for sent in (
    {"json": {"a": 1}},
    {"data": "[1, 2]"},
    {"data": {"a": "x y"}},
    {"data": (piece for piece in (b"one", b"two"))},
    {"files": {"f": ("x.bin", b"\x00\r\n\xff", "application/octet-stream")}},
):
    answer = requests.post(url, timeout=20, **sent)
    assert answer.status_code == 200, answer.text
