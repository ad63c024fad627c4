r"""Positional encodings of sequences: sinusoids, the eigenfunctions of a line's Laplacian.

.. math:: p_{t,2m} = \sin(\omega_m t), \quad p_{t,2m+1} = \cos(\omega_m t), \quad \omega_m = b^{-2m/c}, \qquad
          (L p)_t = 2 p_t - p_{t-1} - p_{t+1} = (2 - 2\cos\omega_m)\, p_t

On the infinite path every frequency is an eigenfunction, so on a finite one the equation holds away from its two ends. On
the cycle of n nodes those with w = 2 pi k / n remain, on the path of n nodes the cosines of pi k (t + 1/2) / n.

Law: a shift of the positions rotates each pair (sin, cos) by the angle w times the shift.
Power: a position is told apart from every other, which no function of a set can do.
Source: Vaswani et al. (2017), Attention Is All You Need, section 3.5.
Differs: nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoidal_encoding(positions: Tensor, channels: int, base: float = 10000.0) -> Tensor:
    """Return sine and cosine of each position at channels / 2 frequencies, from 1 down towards 1 / base.

    Args:
        positions: places in a sequence (n,), integers or real numbers.
        channels: even number of channels c.
        base: b, the ratio of the fastest frequency to the end of the scale.

    Returns:
        (n, c), of the dtype of `positions` where that is a floating one, else of torch's default.

    Raises:
        ValueError: `positions` is not (n,); `channels` is odd or below 2; `base` is not positive.

    Example:
        >>> code = sinusoidal_encoding(torch.arange(5), 4)
        >>> assert code[0].tolist() == [0.0, 1.0, 0.0, 1.0]
        >>> angles = torch.arange(5) * 0.01
        >>> assert torch.allclose(code[:, 2], angles.sin()) and torch.allclose(code[:, 3], angles.cos())
    """
    if positions.dim() != 1:
        raise ValueError(f"`positions` must have shape (n,), got {tuple(positions.shape)}; flatten it")
    if channels < 2 or channels % 2:
        raise ValueError(f"`channels` must be even and at least 2, a sine and a cosine a frequency, got {channels}")
    if not base > 0:
        raise ValueError(f"`base` must be positive, got {base}")
    dtype = positions.dtype if positions.is_floating_point() else torch.get_default_dtype()
    exponent = torch.arange(0, channels, 2, dtype=torch.float64, device=positions.device) / channels
    angles = positions.to(torch.float64)[:, None] * base**-exponent
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(dtype)
