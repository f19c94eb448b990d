"""Writes tests/data/eval_statistics.json: what scipy and statsmodels say about stored cases.

    pip install scipy==1.17.1 statsmodels==0.15.0
    python tests/oracle/eval_statistics.py

The cases are made here, by a seeded generator; src/eval/tests/stats.rs computes them again.
"""

import json
import math
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(20261129)
cases = {"wilson": [], "sign_test": [], "needed": [], "bootstrap": [], "length_controlled": []}

for n in [1, 2, 5, 10, 29, 174, 218, 541, 1319]:
    for right in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        if 0 <= right <= n:
            low, high = proportion_confint(right, n, method="wilson")
            cases["wilson"].append({"right": right, "n": n, "low": low, "high": high})

for wins, losses in [(0, 0), (1, 0), (0, 3), (5, 5), (6, 5), (9, 1), (27, 22), (64, 88), (90, 70), (116, 50), (3, 40), (700, 500), (2000, 1990)]:
    n = wins + losses
    binomial = stats.binomtest(wins, n, 0.5).pvalue if n else 1.0
    table = mcnemar([[7, wins], [losses, 11]], exact=True).pvalue
    assert n == 0 or math.isclose(binomial, table, rel_tol=1e-9), (wins, losses, binomial, table)
    cases["sign_test"].append({"wins": wins, "losses": losses, "p": min(1.0, binomial)})


def power(wins, losses, n, items, draws=20_000):
    """Share of simulated suites of `items` items whose exact sign test has p < 0.05."""
    shares = [wins / n, losses / n, 1 - (wins + losses) / n]
    counts = rng.multinomial(items, shares, size=draws)[:, :2]
    distinct, repeats = np.unique(counts, axis=0, return_counts=True)
    significant = [w + l > 0 and stats.binomtest(int(w), int(w + l), 0.5).pvalue < 0.05 for w, l in distinct]
    return float((np.array(significant) * repeats).sum() / draws)


for wins, losses, n in [(30, 12, 174), (40, 30, 174), (60, 40, 541), (20, 2, 100)]:
    d, diff = (wins + losses) / n, (wins - losses) / n
    z = stats.norm.ppf(0.975) * math.sqrt(d) + stats.norm.ppf(0.8) * math.sqrt(d - diff * diff)
    items = math.ceil((z / diff) ** 2)
    cases["needed"].append({"wins": wins, "losses": losses, "n": n, "needed": items, "power": power(wins, losses, n, items)})

for name, n in [("flags", 174), ("lengths", 60)]:
    values = (rng.random(n) < 0.31).astype(float) if name == "flags" else np.round(rng.gamma(2.0, 40.0, n))
    wholes = rng.integers(1, 4, n).astype(float) if name == "flags" else np.ones(n)
    parts = np.minimum(values * wholes, wholes)

    def ratio(index, axis=-1, parts=parts, wholes=wholes):
        return parts[index].sum(axis=axis) / wholes[index].sum(axis=axis)

    found = stats.bootstrap((np.arange(n),), ratio, n_resamples=200_000, method="percentile", rng=rng, vectorized=True, batch=2000)
    low, high = found.confidence_interval
    cases["bootstrap"].append({"parts": parts.tolist(), "wholes": wholes.tolist(), "value": float(ratio(np.arange(n))), "low": float(low), "high": float(high)})

for effect, bias in [(0.4, 0.8), (0.0, 0.0), (-0.7, 2.0)]:
    n = 200
    lengths = np.round(rng.normal(12, 40, n))
    x = np.tanh(lengths / lengths.std())
    p = 1 / (1 + np.exp(-(effect + bias * x)))
    draw = rng.random(n)
    outcomes = np.where(draw < 0.8 * p, 1.0, np.where(draw < 0.8 * p + 0.2, 0.5, 0.0))
    fit = sm.GLM(outcomes, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    rate = 1 / (1 + math.exp(-fit.params[0]))
    cases["length_controlled"].append({"outcomes": outcomes.tolist(), "lengths": lengths.tolist(), "rate": rate})

path = Path(__file__).parents[1] / "data" / "eval_statistics.json"
path.write_text(json.dumps(cases) + "\n")
print(path, path.stat().st_size, "bytes")
