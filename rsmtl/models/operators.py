"""The operators that a `.pt2` may call: those that compute tensors from tensors, by name.

A list of what is allowed, since PyTorch has thousands, among them such that read and write files, or memory without
looking at its bounds: `native_batch_norm` takes a bias of four numbers for four thousand channels, and `median` of a
dimension that was expanded writes beyond it. What the numbers and sizes of a call must be besides is in
`rsmtl.models.calls`. An operator that is missed here is added by its name in `torch.ops.aten`, once
`python -m tests.models.fuzz --only its_name --calls 10000` finds nothing in it.
"""

import re

import torch
from torch._ops import OpOverload

_TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)")
_PLAIN = re.compile(r"(?:(?:Optional|List)\[)*(?:Tensor|int|float|number|bool|Device|str|Generator)\]*")
_WORDS = frozenset(
    {"approximate", "equation", "indexing", "interpolation", "mode", "norm", "ord", "padding", "reduce"}
    | {"rounding_mode", "side", "UPLO", "driver"}
)
"""Arguments that are strings and choose among ways to compute."""

_NAMES = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution linear bilinear
    addmm addmv addr addbmm baddbmm mm mv bmm matmul dot inner outer vdot einsum tensordot kron cdist
    linalg_vector_norm linalg_norm linalg_matrix_norm linalg_inv linalg_solve linalg_cross linalg_multi_dot
    linalg_cholesky linalg_qr linalg_svd linalg_eigh linalg_det cross norm renorm cosine_similarity
    pairwise_distance

    batch_norm group_norm native_group_norm layer_norm
    native_layer_norm instance_norm rms_norm dropout feature_dropout alpha_dropout
    relu relu6 leaky_relu prelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid log_sigmoid tanh
    softplus softshrink hardshrink threshold glu rrelu logit softmax log_softmax _softmax _log_softmax _safe_softmax
    logsumexp scaled_dot_product_attention embedding

    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
    upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d grid_sampler_3d affine_grid_generator
    pixel_shuffle pixel_unshuffle channel_shuffle im2col col2im pad constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d

    add sub rsub mul div subtract multiply divide true_divide floor_divide remainder fmod pow float_power square sqrt
    rsqrt exp exp2 expm1 log log2 log10 log1p abs absolute neg negative sign sgn reciprocal sin cos tan asin acos atan
    atan2 arctan2 sinh cosh asinh acosh atanh erf erfc erfinv ceil floor round trunc frac clamp clamp_min clamp_max
    clip maximum minimum fmax fmin lerp addcmul addcdiv hypot copysign nan_to_num xlogy logaddexp sinc deg2rad rad2deg
    heaviside eq ne lt le gt ge greater less greater_equal less_equal not_equal isnan isinf isfinite isclose
    logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor __and__ __or__
    __xor__ bitwise_left_shift bitwise_right_shift where masked_fill masked_scatter
    sum nansum mean nanmean prod amax amin max min aminmax argmax argmin all any std var std_mean var_mean
    quantile nanquantile cumsum cumprod cummax cummin logcumsumexp count_nonzero topk sort argsort kthvalue
    histc bincount trace diff bucketize searchsorted

    view reshape view_as reshape_as _unsafe_view expand expand_as broadcast_to broadcast_tensors permute transpose t
    adjoint numpy_T mT swapaxes swapdims moveaxis movedim flatten ravel unflatten squeeze unsqueeze cat concat
    concatenate stack hstack vstack dstack column_stack split split_with_sizes chunk unsafe_split unsafe_chunk
    tensor_split hsplit vsplit dsplit unbind select slice narrow index index_select gather take take_along_dim scatter
    scatter_add scatter_reduce index_add index_copy index_fill index_put select_scatter slice_scatter diagonal_scatter
    flip fliplr flipud roll rot90 repeat repeat_interleave tile tril triu diag diagonal diag_embed unfold one_hot
    meshgrid block_diag contiguous clone detach alias copy fill zero lift_fresh lift_fresh_copy
    to _to_copy type_as view_as_real view_as_complex real imag complex conj resolve_conj resolve_neg angle polar
    zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace logspace eye
    scalar_tensor tril_indices triu_indices hann_window hamming_window
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn fft_irfftn
    fft_fftshift fft_ifftshift fft_fftfreq fft_rfftfreq
    _assert_tensor_metadata
"""
OPERATORS = frozenset(_NAMES.split())
"""Names in `torch.ops.aten`; those that end in `_` do the same in place."""

_GIVE_NOTHING = frozenset({"_assert_tensor_metadata"})
"""What `Tensor.to` leaves in a graph to say what it was traced with."""


def is_known(target: str) -> bool:
    """Return whether `torch.ops.aten.conv2d.default` or the like is on the list and takes and gives plain values."""
    found = _TARGET.fullmatch(target)
    if found is None:
        return False
    name, overload = found.groups()
    if name not in OPERATORS and not (name.endswith("_") and name[:-1] in OPERATORS):
        return False
    called = getattr(getattr(torch.ops.aten, name, None), overload, None)
    if not isinstance(called, OpOverload):
        return False
    schema = called._schema
    return (
        all(_PLAIN.fullmatch(str(one.type)) for one in (*schema.arguments, *schema.returns))
        and all(one.name in _WORDS for one in schema.arguments if "str" in str(one.type))
        and not any(one.is_out for one in schema.arguments)
        and (torch.Tag.inplace_view not in called.tags or name == "detach_")  # a weight keeps its sizes
        and (name in _GIVE_NOTHING or any("Tensor" in str(one.type) for one in schema.returns))
    )
