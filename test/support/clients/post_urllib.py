"""Posts with the standard library, as its documentation shows."""
import sys
import urllib.request

for body in (b'{"urllib": 1.00}', b"a=1&b=2"):
    with urllib.request.urlopen(sys.argv[1], data=body) as answer:
        assert answer.status == 200
