"""From an estimator's parameters to the regularizers of its network, and which of them do not go together."""

from skensemble.augmentation import Augmentation, as_augmentation
from skensemble.averaging import as_averaging
from skensemble.estimators._training import can_be_smoothed
from skensemble.networks import ConvNet, as_network
from skensemble.optimizers import as_optimizer
from skensemble.regularizers import Rules, as_weight_noise
from skensemble.schedules import check_rule
from skensemble.tabular import n_heads
from skensemble.training import check_loss


def image_shape(spec, n_inputs):
    """The shape in which a network reads a row as an image.

    Parameters
    ----------
    spec : MLP, ResNet, ConvNet or Network
        The user's own network tells it by a setting or attribute `image_shape`.
    n_inputs : int
        Number of features of a row.

    Returns
    -------
    shape : tuple of int or None
        ``(channels, height, width)``, or None where rows are no images.
    """
    if isinstance(spec, ConvNet):
        return spec._shape(n_inputs)
    named = getattr(spec, "image_shape", None) or getattr(spec, "settings", {}).get("image_shape")
    return None if named is None else ConvNet(named)._shape(n_inputs)


def rules_of(estimator, n_inputs, training):
    """Check an estimator's regularizers and put them together.

    Parameters
    ----------
    estimator : NetEstimator
        Whose parameters are checked one by one already.
    n_inputs : int
        Number of features.
    training : dict
        What is settled of its training.

    Returns
    -------
    rules : Rules

    Raises
    ------
    ValueError
        If a setting is out of its range, or two do not go together.
    """
    noise, augment = as_weight_noise(estimator.weight_noise), estimator.augment
    augment = None if augment is None else as_augmentation(augment)
    averaging = as_averaging(training["averaging"])
    for spec in (noise, averaging, augment if isinstance(augment, Augmentation) else None):
        if spec is not None:
            spec.check()
    check_rule(training["lr_schedule"])
    check_loss(estimator.loss)  # an unknown name is told before a network is built
    shape = image_shape(as_network(estimator.network), n_inputs)
    rules = Rules(
        l1=estimator.l1 or 0.0,
        l2=estimator.l2 or 0.0,
        label_smoothing=training["label_smoothing"] or 0.0,
        mixup=estimator.mixup or 0.0,
        cutmix=estimator.cutmix or 0.0,
        input_noise=estimator.input_noise or 0.0,
        weight_noise=noise,
        augment=augment,
        grad_clip=estimator.grad_clip or 0.0,
        image_shape=shape,
        n_heads=n_heads(as_network(estimator.network)),
    )
    _check_pairs(estimator, rules, training)
    _check_snapshots(estimator, averaging, training)
    return rules


def _check_pairs(estimator, rules, training):
    wants_images = [
        name
        for name, wants in (("cutmix", rules.cutmix), ("augment", isinstance(rules.augment, Augmentation)))
        if wants and rules.image_shape is None
    ]
    if wants_images:
        name = wants_images[0]
        raise ValueError(
            f"{name}={getattr(estimator, name)!r} is for networks of images. Got network={estimator.network!r}, whose "
            "rows have no height and width; take 'convnet', or a Network with an image_shape setting."
        )
    blends = [name for name in ("mixup", "input_noise") if getattr(rules, name)]
    if blends and any(known is not None for known in getattr(estimator, "categories_", None) or []):
        raise ValueError(
            f"{blends[0]} is for rows of numbers, which can be changed a little. Got columns of categories; set "
            f"{blends[0]} to 0."
        )
    if rules.label_smoothing and not can_be_smoothed(estimator.loss):
        raise ValueError(
            "label_smoothing is for the cross entropy, with no weights, ignored class or smoothing of its own. Got "
            f"loss={estimator.loss!r}; set loss to None or label_smoothing to 0."
        )
    mixes = "mixup" if rules.mixup else "cutmix" if rules.cutmix else None
    if mixes and getattr(estimator, "_multilabel", False) and estimator.class_weight is not None:
        raise ValueError(
            f"{mixes} mixes rows of several labels, for which no class weight is defined. Got "
            f"class_weight={estimator.class_weight!r}; set it to None, or {mixes} to 0."
        )
    info = as_optimizer(training["optimizer"]).info
    if rules.weight_noise.std and info.create_graph:
        raise ValueError(
            "weight_noise is for optimizers that want gradients only. Got "
            f"{info.name!r}, which wants second derivatives; set weight_noise to 0, or take another."
        )


def _check_snapshots(estimator, averaging, training):
    n_snapshots, n_epochs = estimator.snapshots or 0, training["max_epochs"]
    if n_snapshots < 2:
        return
    if n_epochs % n_snapshots:
        raise ValueError(
            f"snapshots must divide max_epochs, so that each ends a whole cycle. Got snapshots={n_snapshots} and "
            f"{n_epochs} epochs; take {n_snapshots * max(1, round(n_epochs / n_snapshots))} epochs."
        )
    info = as_optimizer(training["optimizer"]).info
    if info.has_modes:
        raise ValueError(
            f"snapshots is for optimizers whose learning rate can go in cycles. Got {info.name!r}, which keeps weights "
            "of its own to predict with; set snapshots to None, or take another."
        )
    for name, off in (("early_stopping", False), ("averaging", None), ("lr_schedule", None)):
        value = training.get(name, getattr(estimator, name))
        if value != off and not (name == "lr_schedule" and value == "cosine"):
            raise ValueError(
                f"snapshots keeps the network at the end of each of its own cosine cycles. Got {name}={value!r} "
                f"besides; set {name} to {off!r}."
            )
