"""Loss and gradients of a batch through stacked plain dense networks, by formulas, in one call of compiled code."""

import torch

from skensemble.training._compiled import compiled


def _product(
    a: torch.Tensor, b: torch.Tensor, gain: float, bias: torch.Tensor | None, out: torch.Tensor
) -> torch.Tensor:
    """``gain * a @ b + bias``."""
    if bias is not None:
        return torch.baddbmm(bias, a, b, alpha=gain, out=out)
    if gain == 1.0:
        return torch.bmm(a, b, out=out)
    return torch.baddbmm(out, a, b, beta=0, alpha=gain, out=out)


def _normalize(
    x: torch.Tensor, norm: list[torch.Tensor], settings: list[float], out: torch.Tensor
) -> list[torch.Tensor]:
    """Centre `x` in place, normalize it into `out`, move the statistics (Ioffe & Szegedy 2015, algorithm 1).

    Return ``1 / std`` and ``weight / std``.
    """
    weight, bias, running_mean, running_var, n_batches = norm
    momentum, eps = settings
    n = x.shape[1]
    mean = x.mean(1, keepdim=True)
    x.sub_(mean)
    var = torch.mul(x, x, out=out).mean(1, keepdim=True)
    running_mean.lerp_(mean, momentum)
    running_var.mul_(1 - momentum).add_(var, alpha=momentum * n / (n - 1))
    n_batches.add_(1)
    inverse = var.add_(eps).rsqrt_()
    factor = inverse * weight
    torch.addcmul(bias, x, factor, out=out)
    return [inverse, factor]


def _back_through_norm(
    slope: torch.Tensor, centred: torch.Tensor, scales: list[torch.Tensor], spare: torch.Tensor
) -> list[torch.Tensor]:
    """Turn the gradient of the outputs into that of the inputs, in place (Ioffe & Szegedy 2015, section 3).

    Return those of weight and bias.
    """
    inverse, factor = scales
    share = factor / -slope.shape[1]
    of_bias = slope.sum(1, keepdim=True)
    of_weight = torch.mul(slope, centred, out=spare).sum(1, keepdim=True).mul_(inverse)
    torch.addcmul(share * of_bias, slope, factor, out=slope)
    slope.addcmul_(centred, share.mul_(inverse).mul_(of_weight))
    return [of_weight.squeeze(1), of_bias.squeeze(1)]


def _cross_entropy(
    output: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = torch.log_softmax(output, 1)
    losses = log_p.gather(1, y).mul(weight).sum(1).neg_()
    factors = weight.to(output.dtype) / counts
    slope = log_p.exp_().mul_(factors.sum(1, keepdim=True)).scatter_add_(1, y, factors.neg_())
    return losses, slope


def _squared_error(
    output: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    error = output - y
    losses = weight.squeeze(1) * error.square().mean(1)
    return losses, error.mul_(weight.to(output.dtype) * (2 / output.shape[1]) / counts)


@compiled
def dense_step(
    X: torch.Tensor,
    scaling: list[torch.Tensor],
    weights: list[torch.Tensor],
    biases: list[torch.Tensor | None],
    gains: list[float],
    norms: list[list[torch.Tensor]],
    norm_settings: list[list[float]],
    masks: list[torch.Tensor | None],
    rooms: list[list[torch.Tensor]],
    of_weights: list[torch.Tensor],
    y: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor | None,
    counts: torch.Tensor,
    squared: bool,
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Go forward and back through all layers.

    Parameters
    ----------
    X : Tensor of shape (n_members, n_rows, n_inputs)
    scaling : list of Tensor
        Mean and scale of the inputs, of shape (n_members, 1, n_inputs), and memory for what comes of `X`; or nothing.
    weights : list of Tensor of shape (n_members, n_units, n_inputs)
    biases : list of (Tensor or None)
        Of shape (n_members, 1, n_units), that of the last layer (n_members, n_units, 1).
    gains : list of float
        What the inputs of each layer are multiplied by.
    norms, norm_settings : list of list
        For each hidden layer weight, bias, running mean and variance of shape (n_members, 1, n_units), and the number
        of batches; momentum and epsilon; or nothing.
    masks : list of (Tensor of shape (n_members, n_rows, n_units) or None)
        For each hidden layer what dropout keeps.
    rooms : list of list of Tensor of shape (n_members, n_rows, n_units)
        For each hidden layer memory for what it hands on, for the gradient of that, and for what is normalized.
    of_weights : list of Tensor
        Memory for the gradients of the weights; or nothing.
    y, weight : Tensor of shape (n_members, n_targets, n_rows)
        Class positions and the weights of their losses; or values and the weights of rows, with one target.
    offset : Tensor of shape (n_members, n_outputs, n_rows) or None
    counts : Tensor of shape (n_members, 1, 1)
    squared : bool
        Whether the loss is the squared error, not the cross-entropy.

    Returns
    -------
    losses : Tensor of shape (n_members, n_rows)
    outputs : Tensor of shape (n_members, n_rows, n_outputs)
    gradients : list of Tensor
        For each layer those of weight, bias, and weight and bias of the normalization.
    """
    x = X
    if len(scaling) > 0:
        x = torch.sub(X, scaling[0], out=scaling[2]).div_(scaling[1])
    last = len(weights) - 1
    inputs: list[torch.Tensor] = []
    scales: list[list[torch.Tensor]] = []
    for i in range(last):
        inputs.append(x)
        normalizes, mask = len(norms[i]) > 0, masks[i]
        out, slope, centred = rooms[i][0], rooms[i][1], rooms[i][-1]
        _product(x, weights[i].mT, gains[i], biases[i], centred if normalizes else out)
        scales.append(_normalize(centred, norms[i], norm_settings[i], out) if normalizes else [])
        x = out.relu_()
        if mask is not None:
            x.mul_(slope.copy_(mask))
    inputs.append(x)
    # Few outputs are faster where rows come last.
    output = X.new_empty([X.shape[0], weights[last].shape[1], X.shape[1]])
    _product(weights[last], x.mT, gains[last], biases[last], output)
    shifted = output if offset is None else output + offset
    if squared:
        losses, turned = _squared_error(shifted, y, weight, counts)
    else:
        losses, turned = _cross_entropy(shifted, y, weight, counts)
    slope = turned.mT
    gradients: list[torch.Tensor] = []
    for k in range(last + 1):
        i = last - k
        of_norm: list[torch.Tensor] = []
        if i < last:
            # What is positive has come through the ReLU and dropout.
            torch.ops.aten.threshold_backward(slope, rooms[i][0], 0, grad_input=slope)
            if len(norms[i]) > 0:
                of_norm = _back_through_norm(slope, rooms[i][-1], scales[i], rooms[i][0])
        of_weight = of_weights[i] if len(of_weights) > 0 else torch.empty_like(weights[i])
        own = [_product(slope.mT, inputs[i], gains[i], None, of_weight)]
        if biases[i] is not None:
            own.append(slope.sum(1))
        gradients = own + of_norm + gradients
        if i > 0:
            slope = _product(slope, weights[i], gains[i], None, rooms[i - 1][1])
    return losses, output.mT, gradients
