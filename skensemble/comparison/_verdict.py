"""From numbers to words: which is best, whether that is real, what it costs, and what ails it."""

import numpy as np
from sklearn.metrics import get_scorer_names

from skensemble._statistics import corrected_error
from skensemble.comparison._frames import by_fold

SURE = 0.95  # posterior probability that counts as decided, as in Benavoli et al. (2017)
LIKELY = 0.75  # odds of three to one: worth a word, not worth a claim
SIGNIFICANT = 0.05  # the usual level of a test, here after Holm's correction
ROPE_SHARE = 0.01  # a hundredth of the way from guessing to perfect, which for accuracy is the usual 0.01
GAP_SHARE = 0.5  # half of the validation error is not there on training rows: more variance than anything else
GAP_ERRORS = 2  # standard errors, about a 95 % interval, that keep a gap from being chance
BIAS_SHARE = 1 / 3  # a training error of a third of guessing's is too much to be left over by chance
CHEAPER = 0.8  # of the time; less of a saving drowns in the noise of timing
_NO_TIME = 1e-6  # clocks of some systems are coarse
_NOT_BOUNDED = ("mutual_info_score", "positive_likelihood_ratio")


def perfect_score(metric, values):
    """The score that no estimator can better: 0 for errors, 1 for shares, None where it is not known."""
    if metric in get_scorer_names():
        return 0.0 if metric.startswith("neg_") else None if metric in _NOT_BOUNDED else 1.0
    if not len(values) or values.max() > 1:
        return None
    return 0.0 if metric.startswith("neg_") or values.max() <= 0 else 1.0


def default_rope(metric, values, baseline):
    """Half the width of the region of practical equivalence; see `Comparison.rope`."""
    if perfect_score(metric, values) == 1:
        return ROPE_SHARE
    if baseline is None or not np.isfinite(baseline) or baseline == 0:
        baseline = values.mean() if len(values) else 0.0
    return ROPE_SHARE * abs(float(baseline))


def number(value):
    """A number with as many digits as say something."""
    if abs(value) >= 1:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def verdict(comparison):
    """Say it in sentences; see `Comparison.verdict`."""
    folds = by_fold(comparison.scores, comparison.metric)
    means = folds.mean(skipna=False).dropna().drop(comparison.best_)
    seconds = by_fold(comparison.scores, comparison.metric, "fit_seconds").median()
    failed = [name for name in folds.columns if folds[name].isna().any()]
    diagnosis = f"{comparison.best_} {comparison.diagnosis()[comparison.best_]}."
    if means.empty:
        score, (sign, words) = folds[comparison.best_].mean(), _words(comparison.metric)
        sentences = [f"{comparison.best_} has a {words} of {number(sign * score)}, and nothing to beat."]
        sentences.append(f"A fit takes {_seconds(seconds[comparison.best_])}.")
    else:
        pairs = _against_best(comparison, means.index)
        rival = means.idxmax()
        sentences = [_is_it_real(comparison, rival, pairs), _cost(comparison.best_, rival, pairs, seconds)]
    sentences.append(diagnosis)
    if failed:
        sentences.append(f"{_listed(failed)} could not be compared on every fold.")
    return " ".join(sentences)


def _against_best(comparison, names):
    """For each other estimator, the test against the best: difference, p_holm, p_best, p_equivalent, kind."""
    best, found = comparison.best_, {}
    for pair in comparison.tests().to_dict("records"):
        if best not in (pair["first"], pair["second"]):
            continue
        ahead = pair["first"] == best
        other = pair["second"] if ahead else pair["first"]
        p_best = pair["p_first"] if ahead else pair["p_second"]
        found[other] = {
            "difference": abs(pair["difference"]),
            "p_holm": pair["p_holm"],
            "p_best": p_best,
            "p_equivalent": pair["p_equivalent"],
            "kind": kind_of(p_best, pair["p_equivalent"], pair["p_holm"]),
        }
    return {name: found[name] for name in names}


def kind_of(p_best, p_equivalent, p_holm):
    """What the numbers say of a difference.

    Parameters
    ----------
    p_best, p_equivalent : float
        Posterior probabilities that the best is better, and that it makes no difference.
    p_holm : float
        Holm's p.

    Returns
    -------
    kind : {"unknown", "equivalent", "real", "small", "likely", "open"}
        The first that applies, in this order.
    """
    if np.isnan(p_best):
        return "unknown"
    if p_equivalent >= SURE:
        return "equivalent"
    if p_best >= SURE and p_holm <= SIGNIFICANT:
        return "real"
    if p_holm <= SIGNIFICANT:
        return "small"
    return "likely" if p_best >= LIKELY else "open"


def _is_it_real(comparison, rival, pairs):
    best, pair = comparison.best_, pairs[rival]
    sign, words = _words(comparison.metric)
    score = number(sign * by_fold(comparison.scores, comparison.metric)[best].mean())
    ahead = f"{number(pair['difference'])} {'above' if sign > 0 else 'below'} {rival}"
    rope, p_best, p_holm = number(comparison.rope()), _share(pair["p_best"]), pair["p_holm"]
    p_holm = "p under 0.001" if p_holm < 0.001 else f"p = {p_holm:.2g}"
    doubt = f"{ahead} (better by more than {rope} with probability {p_best}; {p_holm} after Holm's correction)"
    of_kind = {
        "real": f"{best} is best, and the difference is real: a {words} of {score}, {doubt}.",
        "small": f"{best} is best with a {words} of {score}; the difference is not chance, but may be too small "
        f"to matter: {doubt}.",
        "likely": f"{best} is probably best with a {words} of {score}, but chance is not ruled out: {doubt}.",
        "open": f"{best} has the best {words}, {score}, but that may be chance: {doubt}.",
        "equivalent": f"{best} has the best {words}, {score}, but {rival} is as good in practice: "
        f"within {rope} with probability {_share(pair['p_equivalent'])}.",
        "unknown": f"{best} has the best {words}, {score}, {ahead}; a single fold cannot tell whether that is chance.",
    }
    real = [name for name, other in pairs.items() if other["kind"] == "real"]
    beaten = "" if not real or pair["kind"] == "real" else f" It is really better than {_listed(real)}."
    return of_kind[pair["kind"]] + beaten


def _cost(best, rival, pairs, seconds):
    """What a fit of the best costs beside the second best, and whether something cheaper would do."""
    as_good = [name for name, pair in pairs.items() if pair["kind"] == "equivalent"]
    cheapest = min(as_good, key=lambda name: seconds[name], default=rival)
    own, other = (max(seconds[name], _NO_TIME) for name in (best, cheapest))
    takes = f"A fit of it takes {_seconds(own)}"
    if other < CHEAPER * own:
        advice = f", so take {cheapest}" if cheapest in as_good else ""
        return f"{takes}, {_times(own / other)} as long as {cheapest} ({_seconds(other)}){advice}."
    if own < CHEAPER * other:
        return f"{takes}; {cheapest} takes {_times(other / own)} as long ({_seconds(other)})."
    return f"{takes}, about as long as {cheapest}."


def diagnoses(comparison):
    """Say of each estimator what ails it; see `Comparison.diagnosis`."""
    scores, metric = comparison.scores, comparison.metric
    values = comparison._values(metric)
    perfect = perfect_score(metric, values)
    train, validation = by_fold(scores, metric, "train"), by_fold(scores, metric)
    guessing = comparison.baseline_.get(metric, float("nan"))
    found = {}
    for name in validation.columns:
        gaps = (train[name] - validation[name]).to_numpy()
        if np.isnan(gaps).any():
            found[name] = "has no diagnosis: it has no score on some fold"
        elif perfect is None:
            found[name] = f"has no diagnosis: the perfect {metric} is not known"
        else:
            errors = perfect - train[name].mean(), perfect - validation[name].mean()
            noise = corrected_error(gaps, comparison._ratio())
            found[name] = diagnose(*errors, 0.0 if np.isnan(noise) else noise, perfect - guessing, comparison.rope())
    return found


def diagnose(train, validation, noise, guessing, rope):
    """Say from errors what ails an estimator.

    Parameters
    ----------
    train, validation : float
        Mean errors.
    noise : float
        Standard error of the gap between them.
    guessing : float
        Error of predicting the same for all rows, or NaN.
    rope : float
        What makes no difference.

    Returns
    -------
    diagnosis : str
        A predicate, to follow the estimator's name.
    """
    gap = validation - train
    errors = f"error {number(train)} on training and {number(validation)} on validation rows"
    variance = gap > max(rope, GAP_ERRORS * noise) and gap >= GAP_SHARE * validation
    bias = guessing > 0 and train >= BIAS_SHARE * guessing
    share = f"where guessing has {number(guessing)}"
    if variance and bias:
        return (
            f"overfits and underfits ({errors}, {share}), high variance and high bias: bag more, and try another "
            "network or more rows"
        )
    if variance:
        return f"overfits ({errors}), high variance: bag more, or regularize"
    if bias:
        return f"underfits ({errors}, {share}), high bias or noise: boost, train longer, or take a larger network"
    return f"fits well ({errors}): neither variance nor bias stands out"


def _words(metric):
    """The sign that makes a score what people call it, and that name."""
    names = {"r2": "R squared", "neg_log_loss": "log loss"}
    sign = -1 if metric.startswith("neg_") else 1
    words = names.get(metric, metric.removeprefix("neg_").replace("_", " "))
    return sign, words if "mean" in words.split() else f"mean {words}"


def _share(p):
    return "over 0.99" if p > 0.99 else "under 0.01" if p < 0.01 else f"{p:.2f}"


def _times(ratio):
    return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:.0f} times"


def _seconds(value):
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s"


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
