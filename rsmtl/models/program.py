"""What a `.pt2` may say: a graph of known operators on tensors of fixed sizes, under plain names, and nothing else.

PyTorch's reader trusts its file. It writes names into Python source, imports what a structure names, and evaluates
expressions. It is therefore given not what stands in a file, but what was recognised here, written anew.
"""

import json
import keyword
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rsmtl.models.operators import is_known

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"(?!__)[A-Za-z0-9_-]+(\.(?!__)[A-Za-z0-9_-]+)*")
_WORD = re.compile(r"[A-Za-z0-9_ ,.>-]*")
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2}
"""Of integers, floats, complex numbers, bool and bfloat16, by PyTorch's number of the type."""
_TO_THE_END = 2**63 - 1
"""The end of a slice that has none."""
_CONTAINERS = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})


def _is_name(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None and not keyword.iskeyword(text)


def _name(text: str) -> str:
    if not _is_name(text):
        raise ValueError("a name is letters, digits and _")
    return text


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("a weight's name is letters, digits, _, - and dots, no part of it beginning with __")
    return text


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("a string is letters, digits and plain punctuation")
    return text


def _operator(text: str) -> str:
    if not is_known(text):
        raise ValueError("an operator must be one of rsmtl.models.operators")
    return text


def _number_type(dtype: int) -> int:
    if dtype not in _ITEM_BYTES:
        raise ValueError("numbers are integers, floats, complex or bool")
    return dtype


def _whole(number: int) -> int:
    if abs(number) >= 2**48 and number != _TO_THE_END:
        raise ValueError("a whole number is below 2**48")
    return number


def _structure(text: str) -> str:
    protocol, tree = json.loads(text)
    if protocol != 1:
        raise ValueError("the structure's protocol must be 1")
    return json.dumps([1, _tree(tree)])


def _tree(tree: Any) -> dict[str, Any]:
    """Return the nested tuples, lists and dicts of a call written anew; PyTorch imports what other types name."""
    kind, context, children = (tree[key] for key in ("type", "context", "children_spec"))
    if kind is None and context is None and children == []:
        return {"type": None, "context": None, "children_spec": []}
    if not isinstance(kind, str) or kind not in _CONTAINERS or not isinstance(context, str):
        raise ValueError("a structure is made of tuples, lists and dicts")
    names = json.loads(context)
    if kind in ("builtins.tuple", "builtins.list"):
        plain = names is None
    else:
        plain = isinstance(names, list) and all(isinstance(one, str) and _is_name(one) for one in names)
    if not plain:
        raise ValueError("a structure's keys are plain names")
    return {"type": kind, "context": json.dumps(names), "children_spec": [_tree(child) for child in children]}


Name = Annotated[str, AfterValidator(_name)]
Path = Annotated[str, AfterValidator(_path)]
Word = Annotated[str, AfterValidator(_word)]
Operator = Annotated[str, AfterValidator(_operator)]
Structure = Annotated[str, AfterValidator(_structure)]
Dropped = Annotated[Any, AfterValidator(lambda _: {})]
"""What PyTorch writes for people and tools; it is not passed on."""
Size = Annotated[int, Field(ge=0, lt=2**48)]
Whole = Annotated[int, AfterValidator(_whole)]
Number = Annotated[float, Field(allow_inf_nan=False)] | Literal["Infinity", "-Infinity", "NaN"]
Empty = Annotated[dict[str, Any], Field(max_length=0)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Count(_Plain):
    as_int: Size


class _Device(_Plain):
    type: Literal["cpu"]
    index: None = None


class _Tensor(_Plain):
    name: Name


class TensorMeta(_Plain):
    """Type, sizes and strides of a tensor."""

    dtype: Annotated[int, AfterValidator(_number_type)]
    sizes: list[_Count]
    requires_grad: bool
    device: _Device
    strides: list[_Count]
    storage_offset: _Count
    layout: Literal[7]

    @property
    def n_elements(self) -> int:
        """How many stored elements a tensor of these sizes and strides reaches into."""
        if any(one.as_int == 0 for one in self.sizes):
            return 0
        steps = zip(self.sizes, self.strides, strict=True)
        return self.storage_offset.as_int + 1 + sum((n.as_int - 1) * s.as_int for n, s in steps)


class _OneOf(_Plain):
    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one kind of value is expected")
        return self


class _OptionalTensor(_OneOf):
    as_tensor: _Tensor | None = None
    as_none: bool | None = None


class _Argument(_OneOf):
    as_none: bool | None = None
    as_tensor: _Tensor | None = None
    as_tensors: list[_Tensor] | None = None
    as_optional_tensor: _OptionalTensor | None = None
    as_optional_tensors: list[_OptionalTensor] | None = None
    as_int: Whole | None = None
    as_ints: list[Whole] | None = None
    as_float: Number | None = None
    as_floats: list[Number] | None = None
    as_bool: bool | None = None
    as_bools: list[bool] | None = None
    as_string: Word | None = None
    as_scalar_type: int | None = None
    as_memory_format: int | None = None
    as_layout: Literal[7] | None = None
    as_device: _Device | None = None


class _TensorArgument(_Plain):
    as_tensor: _Tensor


class _NamedArgument(_Plain):
    name: Name
    arg: _Argument
    kind: int | None = None


class _Node(_Plain):
    target: Operator
    inputs: list[_NamedArgument]
    outputs: list[_Argument]
    metadata: Dropped = {}
    is_hop_single_tensor_return: None = None
    name: Name | None = None


class _Graph(_Plain):
    inputs: list[_TensorArgument]
    outputs: list[_TensorArgument]
    nodes: list[_Node]
    tensor_values: dict[Name, TensorMeta]
    sym_int_values: Empty
    sym_bool_values: Empty
    is_single_tensor_return: Literal[False] = False
    custom_obj_values: Empty = {}
    sym_float_values: Empty = {}


class _User(_Plain):
    arg: _TensorArgument


class _Parameter(_Plain):
    arg: _Tensor
    parameter_name: Path


class _Buffer(_Plain):
    arg: _Tensor
    buffer_name: Path
    persistent: bool


class _Constant(_Plain):
    arg: _Tensor
    tensor_constant_name: Path


class _Input(_OneOf):
    user_input: _User | None = None
    parameter: _Parameter | None = None
    buffer: _Buffer | None = None
    tensor_constant: _Constant | None = None


class _Output(_Plain):
    user_output: _User


class _Signature(_Plain):
    input_specs: list[_Input]
    output_specs: list[_Output]


class _CallSignature(_Plain):
    inputs: list[_TensorArgument]
    outputs: list[_TensorArgument]
    in_spec: Structure
    out_spec: Structure
    forward_arg_names: list[Name] | None = None


class _Call(_Plain):
    fqn: Literal[""]
    signature: _CallSignature


def _first(calls: Any) -> Any:
    """The call of the whole module; those of its parts are for tools that take a program apart."""
    return calls[:1] if isinstance(calls, list) else calls


class _GraphModule(_Plain):
    graph: _Graph
    signature: _Signature
    module_call_graph: list[_Call]
    metadata: Dropped = {}
    treespec_namedtuple_fields: Dropped = {}

    @model_validator(mode="before")
    @classmethod
    def _whole_call_only(cls, data: Any) -> Any:
        return data | {"module_call_graph": _first(data["module_call_graph"])}


class _Version(_Plain):
    major: int
    minor: int


class Program(_Plain):
    """`models/model.json` of a `.pt2`."""

    def weights(self) -> dict[str, TensorMeta]:
        """Return what the graph takes its parameters, buffers and constants to be, by their names."""
        values, found = self.graph_module.graph.tensor_values, {}
        for one in self.graph_module.signature.input_specs:
            if one.parameter is not None:
                found[one.parameter.parameter_name] = values[one.parameter.arg.name]
            elif one.buffer is not None:
                found[one.buffer.buffer_name] = values[one.buffer.arg.name]
            elif one.tensor_constant is not None:
                found[one.tensor_constant.tensor_constant_name] = values[one.tensor_constant.arg.name]
        return found

    graph_module: _GraphModule
    opset_version: dict[Literal["aten"], int]
    range_constraints: Empty
    schema_version: _Version
    verifiers: list[Literal["TRAINING"]] = Field(min_length=1, max_length=1)
    torch_version: str = Field(exclude=True)
    guards_code: list[Any] = Field(default=[], max_length=0)


class _Payload(_Plain):
    path_name: Annotated[str, Field(pattern=r"^(weight|tensor)_[0-9]{1,9}$")]
    is_param: bool
    use_pickle: Literal[False]
    tensor_meta: TensorMeta

    @property
    def n_bytes(self) -> int:
        """What the tensor needs of its file."""
        return self.tensor_meta.n_elements * _ITEM_BYTES[self.tensor_meta.dtype]


class Payloads(_Plain):
    """`model_weights_config.json` and `model_constants_config.json` of a `.pt2`."""

    config: dict[Path, _Payload]
