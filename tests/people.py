"""A table of people, with columns of all kinds."""

import numpy as np
import pandas as pd


def people(n_rows=120, seed=0):
    """A frame with columns of all kinds, and a target that depends on them."""
    rng = np.random.default_rng(seed)
    town = rng.choice(["Bern", "Chur", "Genf"], n_rows)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n_rows),
            "town": town,
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n_rows), categories=["S", "M", "L", "XL"]),
            "member": rng.random(n_rows) < 0.5,
            "visits": pd.array(rng.integers(0, 9, n_rows), dtype="Int64"),
        }
    )
    y = (frame["age"] > 40) ^ (town == "Bern")
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "town"] = None
    frame.loc[::13, "visits"] = pd.NA
    return frame, np.where(y, "yes", "no")
