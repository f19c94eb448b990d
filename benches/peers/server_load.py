#!/usr/bin/env python3
"""Sends the prompts of `benches/load.rs` to a running llama-server and prints the time as JSON.

    llama-server -m MODEL -np 32 -c 40960 -t 2 --port 8099
    benches/peers/server_load.py http://127.0.0.1:8099 requests=64 groups=1 order=grouped

Development only: measures the peer that docs/performance.md names. All requests are queued at once; with
order=grouped and wait=1 a group is sent when the one before it has ended.
"""
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

WORDS = " time, year, people, way, day, man, thing, life, child, world, school, state, family, group, country, hand"
WORDS = WORDS.split(",")
MASK = (1 << 64) - 1


def words(stream, count):
    state = (stream * 0x9E3779B97F4A7C15 + 1) & MASK
    out = []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        out.append(WORDS[state >> 60])
    return "".join(out)


def main():
    url, keys = sys.argv[1], dict(argument.split("=") for argument in sys.argv[2:])
    number = lambda key, default: int(keys.get(key, default))
    count, groups, out = number("requests", 64), number("groups", 1), number("out", 64)
    size = -(-count // groups)
    order = list(range(count))
    if keys.get("order") == "shuffled":
        order.sort(key=lambda index: ((index + 1) * 0x9E3779B97F4A7C15) & MASK)

    def send(index):
        prompt = words(index // size, number("prefix", 768)) + words(1000000 + index, number("suffix", 32))
        body = {"prompt": prompt, "n_predict": out, "ignore_eos": True, "temperature": 0.8, "top_k": 40,
                "top_p": 1.0, "min_p": 0.0, "seed": index, "cache_prompt": True, "stream": False}
        data = json.dumps(body).encode()
        request = urllib.request.Request(url + "/completion", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=3600) as response:
            answer = json.load(response)
        return answer["tokens_predicted"], answer["tokens_evaluated"]

    started = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        if number("wait", 0):
            done = [r for at in range(0, count, size) for r in pool.map(send, order[at:at + size])]
        else:
            done = list(pool.map(send, order))
    seconds = time.monotonic() - started
    print(json.dumps({"keys": keys, "seconds": seconds, "requests_per_second": count / seconds,
                      "tokens_predicted": sum(d[0] for d in done), "prompt_tokens": sum(d[1] for d in done)}))


if __name__ == "__main__":
    main()
