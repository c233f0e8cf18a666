"""The one table of settings: type, default, bounds, aliases, and whether a setting decides the bits.

Names are those of TRL and PEFT. Each setting is one of:

- recipe: it decides the bits, and stands in `recipe.json`;
- execution: it says how the work was cut up, and stands in `observed/execution.json`;
- location: where something lies on this machine; `recipe.json` holds the digest of what was found there.

Some are recipe under stock kernels alone: there the split into forward passes decides the bits, on portable arithmetic
only the number of samples of a whole optimizer step does (`total_train_batch_size`, which the recipe records).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

Role = Literal["recipe", "execution", "location"]

STOCK, PORTABLE_F32 = "stock", "portable-f32"
"""The numerics profiles: PyTorch's own kernels, and the arithmetic of docs/spec/numerics.md."""

STEP_LEVEL: Final = "step"
"""The trace level that costs next to nothing: `golden/trace.jsonl` alone."""

EMBEDDED = "embedded"
"""The name of the model and of the dataset that come with the package."""


@dataclass(frozen=True)
class Alias:
    """Another tool's name for a setting; `inverted` where it says the opposite (`train_on_inputs`)."""

    name: str
    inverted: bool = False


@dataclass(frozen=True)
class Kind:
    """What a setting decides, and the other names it answers to; `stock_only`: recipe under stock, else execution."""

    role: Role
    aliases: tuple[Alias, ...] = ()
    stock_only: bool = False

    def role_under(self, numerics: str) -> Role:
        """Return the role under a numerics profile."""
        return "execution" if self.stock_only and numerics != STOCK else self.role


def _stock_recipe(*aliases: str) -> Kind:
    return Kind("recipe", tuple(map(Alias, aliases)), stock_only=True)


def _recipe(*aliases: str, inverted: tuple[str, ...] = ()) -> Kind:
    return Kind("recipe", (*map(Alias, aliases), *(Alias(name, inverted=True) for name in inverted)))


def _execution(*aliases: str) -> Kind:
    return Kind("execution", tuple(map(Alias, aliases)))


def _location(*aliases: str) -> Kind:
    return Kind("location", tuple(map(Alias, aliases)))


def _check_day(text: str) -> str:
    try:
        datetime.date.fromisoformat(text)
    except ValueError as error:
        raise PydanticCustomError("day", "must be a day of the calendar") from error
    return text


Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_check_day)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
# Upper bounds are far beyond use and within what JSON, memory and an int32 of a C library hold.
Count = Annotated[int, Field(ge=1, le=10**7)]
NotNegativeInt = Annotated[int, Field(ge=0, le=10**7)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

DatasetSchema = Literal[
    "auto", "messages", "prompt-completion", "text", "alpaca", "sharegpt", "input-output", "instructlab"
]


class Settings(BaseModel):
    """Every setting of a run, validated; unknown keys are refused by `recipe.reader`, with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    # Arithmetic
    numerics: Annotated[Literal["portable-f32", "stock"], _recipe("numerics_profile")] = Field(
        "portable-f32",
        description="`portable-f32`: specified arithmetic, the same bits on every machine; `stock`: PyTorch's own "
        "kernels, the same bits on one machine at best",
    )
    seed: Annotated[Seed, _recipe("master_seed", "random_state", "random_seed")] = Field(
        42, description="seed of adapter initialisation and dropout"
    )
    data_seed: Annotated[Seed | None, _recipe()] = Field(
        None, description="seed of the held-out split and the sample order; the seed where it is left out"
    )

    # Base model
    model_name_or_path: Annotated[NonEmpty, _location("base_model", "checkpoint_dir", "model", "model_name")] = Field(
        EMBEDDED, description="a model folder, a hub name, or `embedded`"
    )
    model_revision: Annotated[str | None, _location("revision", "base_model_revision")] = Field(
        None, description="the commit of a hub model: 40 hex digits, demanded"
    )
    attn_implementation: Annotated[Literal["sdpa", "eager"], _stock_recipe()] = Field(
        "sdpa", description="attention of transformers: under stock the two differ in their bits, else it is not used"
    )

    # Data
    dataset_name: Annotated[
        NonEmpty, _location("dataset", "train_file", "dataset_path", "data", "data_path", "datasets")
    ] = Field(EMBEDDED, description="a JSONL file, a folder with train.jsonl (and valid.jsonl), or `embedded`")
    eval_dataset_name: Annotated[NonEmpty | None, _location("eval_dataset", "eval_file", "validation_file")] = Field(
        None, description="a JSONL file to evaluate on, in place of a held-out split"
    )
    dataset_schema: Annotated[DatasetSchema, _recipe("dataset_format", "dataset_type", "formatting")] = Field(
        "auto", description="schema of the samples; `auto` detects it, and the record holds what was found"
    )
    val_size: Annotated[int | float, Field(ge=0), _recipe("val_set_size", "test_size")] = Field(
        4, description="samples held out for evaluation: a count from 1, a share below 1, or 0 for none"
    )
    chat_template: Annotated[NonEmpty | None, _location()] = Field(
        None, description="a Jinja file, `chatml`, or none: the tokenizer's own"
    )
    chat_template_date: Annotated[Day | None, _recipe()] = Field(
        None, description="the day that a template asking for the date is told, as YYYY-MM-DD"
    )
    max_length: Annotated[Count, _recipe("sequence_len", "cutoff_len", "max_seq_length", "max_seq_len")] = Field(
        512, description="tokens of a sample that are kept, from its start"
    )
    completion_only_loss: Annotated[
        bool, _recipe("assistant_only_loss", "mask_prompt", inverted=("train_on_inputs", "train_on_input"))
    ] = Field(True, description="train on completions and assistant turns only, not on prompts")

    # LoRA
    lora_r: Annotated[Count, _recipe("r", "lora_rank", "rank")] = Field(16, description="LoRA rank")
    lora_alpha: Annotated[Positive, _recipe("alpha")] = Field(
        32, description="LoRA scale is lora_alpha / lora_r, or lora_alpha / sqrt(lora_r) with use_rslora"
    )
    lora_dropout: Annotated[Ratio, _recipe()] = Field(0.1, description="dropout on the input of the LoRA branch")
    lora_target_modules: Annotated[
        Annotated[tuple[NonEmpty, ...], Field(min_length=1)] | None,
        _recipe("target_modules", "lora_target", "lora_attn_modules"),
    ] = Field(None, description="names of linear layers, or `all-linear`; none takes PEFT's choice for the family")
    use_rslora: Annotated[bool, _recipe("lora_use_rslora", "rslora")] = Field(
        False, description="rank-stabilised LoRA scale"
    )

    # Optimisation
    num_train_epochs: Annotated[Count, _recipe("num_epochs", "epochs", "n_epochs")] = Field(
        1, description="passes over the training samples"
    )
    max_steps: Annotated[Count | None, _recipe("max_iters", "iters")] = Field(
        None, description="optimizer steps to stop after, whatever the epochs"
    )
    per_device_train_batch_size: Annotated[
        Count, _stock_recipe("micro_batch_size", "batch_size", "train_batch_size")
    ] = Field(4, description="samples of one forward pass; under stock the split decides the bits")
    gradient_accumulation_steps: Annotated[Count, _stock_recipe("gradient_accumulation")] = Field(
        1, description="forward passes of one optimizer step"
    )
    per_device_eval_batch_size: Annotated[Count, _stock_recipe("eval_batch_size")] = Field(
        4, description="samples of one forward pass in evaluation"
    )
    learning_rate: Annotated[Positive, _recipe("lr")] = Field(2e-4, description="peak learning rate")
    lr_scheduler_type: Annotated[Literal["linear", "cosine", "constant"], _recipe("lr_scheduler")] = Field(
        "linear", description="schedule after the warm-up"
    )
    warmup_steps: Annotated[NotNegativeInt, _recipe("lr_warmup_steps")] = Field(
        0, description="steps of linear warm-up; the first update of a warm-up has learning rate 0"
    )
    weight_decay: Annotated[NotNegative, _recipe()] = Field(0.0, description="decoupled weight decay of AdamW")
    adam_beta1: Annotated[Ratio, _recipe()] = Field(0.9, description="decay of AdamW's first moment")
    adam_beta2: Annotated[Ratio, _recipe()] = Field(0.999, description="decay of AdamW's second moment")
    adam_epsilon: Annotated[Positive, _recipe()] = Field(1e-8, description="added to AdamW's denominator")
    max_grad_norm: Annotated[NotNegative, _recipe("gradient_clipping")] = Field(
        1.0, description="gradient norm to clip at; 0 does not clip"
    )

    # Fixed prompts
    generation_prompts: Annotated[tuple[NonEmpty, ...], _recipe()] = Field(
        ("What is LoRA?", "Why do two machines disagree?", "Name one way to compare two files."),
        description="prompts continued greedily after training",
    )
    generation_max_new_tokens: Annotated[Count, _recipe("max_new_tokens")] = Field(
        16, description="tokens of each continuation"
    )

    # Execution
    output_dir: Annotated[str | None, _location("out_dir", "adapter_path")] = Field(
        None, description="the run folder; a new name under artifacts/ where it is left out"
    )
    threads: Annotated[Threads | None, _execution("n_threads", "num_threads")] = Field(
        None, description="threads of the arithmetic; OMP_NUM_THREADS, else the allowed cores; may exceed them"
    )
    memory_budget_mib: Annotated[Count, _execution()] = Field(
        2048, description="MiB for the activations of one pass, beside the weights; what does not fit is computed again"
    )
    save_steps: Annotated[Count, _execution("checkpoint_interval")] = Field(
        10, description="optimizer steps between checkpoints"
    )
    save_total_limit: Annotated[Count | None, _execution()] = Field(
        None, description="checkpoints kept, the newest; all where it is left out"
    )
    trace_level: Annotated[Literal["step", "module", "op"], _execution()] = Field(
        "step",
        description="what is digested: each step, or under observed/operations/ every module's or operation's output",
    )
    logging_steps: Annotated[Count, _execution()] = Field(1, description="optimizer steps between printed lines")
    environment: Annotated[Name | None, _execution()] = Field(
        None, description="name of this environment in reports; native or container where left out"
    )


ALREADY_SO: dict[str, tuple[Any, ...]] = {
    "adapter": ("lora",),
    "bf16": (False,),
    "bias": ("none",),
    "do_train": (True,),
    "finetuning_type": ("lora",),
    "fp16": (False,),
    "load_in_4bit": (False,),
    "load_in_8bit": (False,),
    "lora_bias": ("none",),
    "optim": ("adamw_torch", "adamw_torch_fused"),
    "packing": (False,),
    "peft_type": ("LORA",),
    "stage": ("sft",),
    "task_type": ("CAUSAL_LM",),
    "train": (True,),
    "use_peft": (True,),
}
"""Keys of other tools that ask for what samebits always does; with any other value they are refused."""


def kind_of(name: str) -> Kind:
    """Return what the setting `name` decides."""
    return next(item for item in Settings.model_fields[name].metadata if isinstance(item, Kind))


def names_with_role(role: Role, numerics: str = STOCK) -> tuple[str, ...]:
    """Return the settings of one role under a numerics profile, in the table's order."""
    return tuple(name for name in Settings.model_fields if kind_of(name).role_under(numerics) == role)


def values_with_role(settings: Settings, role: Role) -> dict[str, Any]:
    """Return names and values of one role under the settings' own profile, as JSON knows them."""
    values = settings.model_dump(mode="json")
    return {name: values[name] for name in names_with_role(role, settings.numerics)}


def total_train_batch_size(settings: Settings) -> int:
    """Return the samples of one optimizer step."""
    return settings.per_device_train_batch_size * settings.gradient_accumulation_steps
