"""The training loop: one backward pass a step, whatever the method."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sigmae.data import Dataset, scaled, Split
from sigmae.errors import SigmaeError
from sigmae.files import write_text
from sigmae.joint import averaged, sharing
from sigmae.machine import memory_explained
from sigmae.model import Autoencoder
from sigmae.objective import Terms
from sigmae.parts import Moment, Part
from sigmae.seeds import derived_seed, generator, reseed, seeded
from sigmae.settings import TrainingConfig
from sigmae.signals import stop_on_signals, StopRequest
from sigmae.tensors import finite
from sigmae.training import state as states
from sigmae.training.allocator import keep_memory
from sigmae.training.compiled import compiled, failures_explained
from sigmae.training.engine import make_fabric, needs_no_wrappers
from sigmae.training.failures import remedy, torch_errors_told
from sigmae.training.noise import JointNoise
from sigmae.training.opponents import opponents
from sigmae.training.processes import Agreement, check_shares, losses_told, not_shared
from sigmae.training.state import Progress, State

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FLUSH_EVERY = 20  # steps between looks at the loss: looking makes a GPU wait
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Report:
    """What an observer of training is told: after some steps, and with a `record` after every epoch."""

    progress: Progress
    steps_in_epoch: int
    terms: dict[str, float]
    record: dict[str, Any] | None = None


Observer = Callable[[Report], None]


def train(
    model: Autoencoder,
    data: Dataset,
    config: TrainingConfig,
    *,
    folder: Path | None = None,
    observe: Observer = lambda report: None,
    warn: Callable[[str], None] = lambda message: None,
    fabric: "Fabric | None" = None,
) -> Progress:
    """Train `model` in place and leave it with the weights of the best validation loss, or of the last epoch.

    With a folder, state is saved there every 20 seconds, at the end and when interrupted, and the same call
    continues from it; on a CPU it ends with the same bits as an undisturbed run.

    Several processes of one `fabric` train as one does with their joint batch, up to rounding, whose noise they share
    too; but for batch normalization, permutations that a part draws, and with `compile` all noise, which are of each
    process's share of a batch alone. A run may change their number where it is continued.

    Raises `SigmaeError` when a term is no longer finite or memory is short, and `Interrupted` after Ctrl-C or kill.
    """
    check_fit(model, data, config)
    fabric = fabric or make_fabric(config.precision)
    check_shares(config.batch_size, fabric.world_size)
    keep_memory()
    if config.precision == "bf16" and fabric.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        warn("This processor computes in bfloat16 many times more slowly than in 32 bits: use --precision 32.")
    with seeded(config.seed), losses_told():
        loop = Loop(model, data, config, folder, observe, fabric)
        loop.restore(warn)
        with stop_on_signals() as stop, memory_explained(remedy(config)), torch_errors_told([loop]):
            while loop.state.progress.epoch < config.epochs and not loop.out_of_patience():
                loop.epoch(stop)
        return loop.end()


def check_fit(model: Autoencoder, data: Dataset, config: TrainingConfig) -> None:
    """Refuse settings and data that cannot be trained on."""
    if config.batch_size > len(data.train):
        raise SigmaeError(
            f"The batch size {config.batch_size} is larger than the {len(data.train)} training examples of "
            f"{data.name}: use --batch-size {max(1, min(100, len(data.train) // 2))}."
        )
    if model.objective.likelihood.unit_range and not data.unit_range:
        name = type(model.objective.likelihood).__name__
        raise SigmaeError(f"{name} needs values in [0, 1], and those of {data.name} lie outside: use SquaredError.")


class Loop:
    """Training under way: the state, and what one epoch does to it."""

    def __init__(
        self,
        model: Autoencoder,
        data: Dataset,
        config: TrainingConfig,
        folder: Path | None,
        observe: Observer,
        fabric: "Fabric",
    ) -> None:
        self.data, self.config, self.folder, self.observe, self.fabric = data, config, folder, observe, fabric
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = Adam(self.weights, lr=config.lr, fused=True)
        schedule = ReduceLROnPlateau(
            optimizer,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            threshold=0.0,  # a share of a loss below zero would call every epoch better
            threshold_mode="abs",
        )
        self.model = model
        self.parts: Sequence[Part] = list(model.objective.parts().values())
        self.acting = [part for part in self.parts if part.acts_in_steps]
        stepped = compiled(model, fabric.device, self.parts) if config.compile else model
        wrapped, fabrics_optimizer = fabric.setup(stepped, optimizer)
        bare = needs_no_wrappers(fabric)
        self.wrapped = stepped if bare else wrapped
        self.optimizer: Optimizer = optimizer if bare else fabrics_optimizer
        self.backward: Callable[[Tensor], None] = Tensor.backward if bare else fabric.backward
        self.precision = fabric.strategy.precision.forward_context if bare else nullcontext
        self.failures = failures_explained if config.compile else nullcontext
        self.opponents = opponents(self.parts)
        self.state = State(model, optimizer, schedule, examples="" if folder is None else examples(data))
        self.state.opponents += [opponent.optimizer for opponent in self.opponents]
        self.state.processes = fabric.world_size
        self.agreement = Agreement(fabric.world_size)
        self.steps = len(data.train) // config.batch_size
        self.pending: list[Tensor] = []
        self.saved = time.monotonic()
        self.images = self.on_device(data.train)

    def on_device(self, split: Split) -> Tensor:
        """A split's images beside the weights if they take little of the device's memory."""
        device = self.fabric.device
        if device.type == "cuda" and split.images.nbytes < torch.cuda.get_device_properties(device).total_memory // 4:
            return split.images.to(device)
        return split.images

    def moment(self) -> Moment:
        """Where training stands, for the hooks."""
        progress = self.state.progress
        return Moment(self.model, self.data.train, self.data.validation, progress.epoch, progress.step)

    def restore(self, warn: Callable[[str], None]) -> None:
        """Continue from the folder's newest whole checkpoint, if there is one; set newer ones of no use aside."""
        if self.folder is not None:
            passed_over = states.restore(self.state, self.folder, warn)
            self.fabric.barrier()  # all processes have read them
            if self.fabric.is_global_zero:
                for path in passed_over:
                    path.replace(states.set_aside(path))
            self.write_history()
        if reason := not_shared(self.model, self.fabric.world_size, self.state.processes):
            warn(reason)
        self.state.processes = self.fabric.world_size

    def epoch(self, stop: StopRequest) -> None:
        """The rest of the present epoch, its validation, its record, and a checkpoint."""
        run_epoch([self], lambda batches: self.step(*batches), stop)

    def end(self) -> Progress:
        """Save the last checkpoint and the whole history, and give the model its best weights."""
        self.save()
        self.write_history()  # anew, for lines that were added are not flushed to the disk
        self.model.load_state_dict(self.state.best)
        return self.state.progress

    def batches(self) -> Iterator[Tensor]:
        """Indices of the batches that remain: a permutation by (seed, epoch), the incomplete batch left out."""
        progress, size = self.state.progress, self.config.batch_size
        candidates = torch.arange(len(self.data.train))
        for part in self.parts:
            if (left_out := part.begin_epoch(self.moment())) is not None:
                candidates = candidates[~torch.isin(candidates, left_out.cpu())]
        order = torch.randperm(len(candidates), generator=generator(self.config.seed, "epoch", progress.epoch))
        self.steps = len(candidates) // size
        if not self.steps:
            raise SigmaeError(
                f"An epoch has {len(candidates)} examples beside those that the objective keeps for itself, fewer than "
                f"a batch of {size}: use --batch-size {max(1, len(candidates) // 2)}."
            )
        rank, ranks = self.fabric.global_rank, self.fabric.world_size
        indices = candidates[order].to(self.images.device)  # a copy at every step would make a GPU wait
        for batch in range(progress.batch, self.steps):
            yield indices[batch * size : (batch + 1) * size][rank::ranks]

    def step(self, indices: Tensor) -> None:
        """One step of the model, and one of each opponent."""
        reseed(self.noise_seed(self.fabric.global_rank))
        with self.sharing(len(indices)) if self.fabric.world_size > 1 else nullcontext():
            self.learn(indices)

    @contextmanager
    def sharing(self, size: int) -> Iterator[None]:
        """A step on a share of `size` examples, which is a part of that of all processes."""
        noise = nullcontext() if self.config.compile else JointNoise(size, self.noise_seed())
        with sharing(self.fabric.global_rank, self.fabric.world_size), noise:
            yield

    def learn(self, indices: Tensor) -> None:
        """What a step does with its examples."""
        for part in self.acting:
            part.begin_step(self.moment())
        x = scaled(self.images.index_select(0, indices).to(self.fabric.device))
        for weight in self.weights:  # first: the next CUDA graph lies where these gradients are
            weight.grad = None
        with self.failures():
            with self.precision():
                terms: Terms = self.wrapped(x)
            self.backward(terms.loss)
        if self.config.clip is not None:
            clip = self.config.clip  # what is not finite is found with the terms, and looking would make a GPU wait
            self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=clip, error_if_nonfinite=False)
        self.optimizer.step()
        for opponent in self.opponents:
            opponent.step(self.optimizer.param_groups[0]["lr"], self.fabric)
        self.count(averaged(torch.stack([term.detach() for term in terms])))

    def noise_seed(self, process: int = 0) -> int:
        """The seed of what the present step draws: of the joint batch's noise, or of what is a process's own."""
        return derived_seed(self.config.seed, "step", self.state.progress.step, process)

    def count(self, terms: Float[Tensor, "3"]) -> None:
        """Count a step that was made, and keep its terms until they are looked at."""
        self.pending.append(terms)
        self.state.progress.batch += 1
        self.state.progress.step += 1

    def flush(self) -> None:
        """Look at the terms of the steps since the last look: sum them up, stop on one that is not finite."""
        if not self.pending:
            return
        rows = torch.stack(self.pending).double().cpu()
        progress = self.state.progress
        broken = (~rows.isfinite()).nonzero()
        if len(broken):
            row, column = broken[0].tolist()
            step = progress.step - len(rows) + row + 1
            raise self.diverged(f"the {Terms._fields[column]} term became {rows[row, column]:g}", step)
        self.pending.clear()  # only now: a run that failed shall fail again when it is asked to save
        progress.sums = [old + new for old, new in zip(progress.sums, rows.sum(0).tolist(), strict=True)]
        self.observe(Report(progress, self.steps, named(rows[-1].tolist())))

    def diverged(self, what: str, step: int) -> SigmaeError:
        """The error for a number that is not finite."""
        kept = sorted(self.folder.glob("checkpoints/step-*.safetensors")) if self.folder else []
        last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
        remedy = "Try a lower --lr, --clip 1, or 32-bit precision, in another --out."
        if step == 1 and not self.data.unit_range:
            remedy = "No weight has moved before: divide the data by their standard deviation, or scale them to [0, 1]."
        return SigmaeError(
            f"Training stopped at step {step} (epoch {self.state.progress.epoch + 1}): {what}; {last}. {remedy}"
        )

    def close_epoch(self) -> None:
        """Validate, keep the best weights, adapt the learning rate, and record the epoch."""
        state, progress = self.state, self.state.progress
        rate = self.optimizer.param_groups[0]["lr"]
        terms = self.validate()
        loss = terms["loss"]
        last = bool(self.opponents) or self.config.keep == "last"  # the verdicts of two discriminators do not compare
        best = last or loss < progress.best_loss
        if best:
            progress.best_loss, progress.best_epoch = loss, progress.epoch + 1
            state.keep_best()
        state.schedule.step(loss)
        record = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "lr": rate,
            "seconds": round(progress.seconds, 3),
            "train": named([total / max(progress.batch, 1) for total in progress.sums]),
            "validation": terms,
            "best": best,
        }
        progress.history.append(record)
        progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, [0.0, 0.0, 0.0]
        self.write_history(record)
        self.observe(Report(progress, self.steps, record["train"], record))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean terms over the validation split, with the same noise every time."""
        self.model.eval()
        for hook in self.parts:
            hook.begin_validation(self.moment())
        images = self.data.validation.images[: self.config.validation_examples]
        reseed(derived_seed(self.config.seed, "validation"))
        total = torch.zeros(3, dtype=torch.float64)
        for part in images.tensor_split(max(1, len(images) // self.config.batch_size)):
            with self.fabric.autocast():
                terms = self.validation_terms(scaled(part.to(self.fabric.device)))
            total += len(part) * torch.stack(list(terms)).double().cpu()
        mean = self.fabric.broadcast(total) / len(images)  # all processes shall decide alike
        if not mean.isfinite().all():
            raise self.diverged("the validation loss is not finite", self.state.progress.step)
        for hook in self.parts:
            hook.end_validation(self.moment(), Terms(*mean))
        return named(mean.tolist())

    def validation_terms(self, x: Tensor) -> Terms:
        """The terms of a batch of the validation split; what a part cannot do with it is told as such."""
        try:
            terms: Terms = self.model(x)
        except SigmaeError as error:
            raise SigmaeError(f"On a batch of {len(x)} from the validation split: {error}") from error
        return terms

    def out_of_patience(self) -> bool:
        """Whether the validation loss has not improved for as many epochs as the user waits."""
        progress, patience = self.state.progress, self.config.patience
        return patience is not None and progress.epoch - progress.best_epoch >= patience

    def save(self) -> None:
        """Write a checkpoint, if there is a folder and the weights are finite."""
        self.flush()
        if not finite(self.model.parameters()):
            raise self.diverged("the weights are not finite", self.state.progress.step)
        if self.folder is None:
            return
        if self.fabric.is_global_zero:
            states.save(self.state, self.folder)
        self.saved = time.monotonic()

    def write_history(self, record: dict[str, Any] | None = None) -> None:
        """Add a line to metrics.jsonl; without a record, write it anew with the epochs that the state knows."""
        if self.folder is None or not self.fabric.is_global_zero:
            return
        path = self.folder / "metrics.jsonl"
        if record is None:
            write_text(path, "".join(json.dumps(known) + "\n" for known in self.state.progress.history))
        else:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def examples(data: Dataset) -> str:
    """What tells one data set from another in little time: how many examples, and a hash of those held out."""
    return f"{len(data.train)} and {data.validation.fingerprint}"


def run_epoch(loops: Sequence[Loop], step: Callable[[Sequence[Tensor]], None], stop: StopRequest) -> None:
    """The rest of the present epoch of one run, or of several that stand at the same step; `step` makes one of each.

    Their time is shared out alike.
    """
    started, seconds = time.monotonic(), [loop.state.progress.seconds for loop in loops]
    for loop in loops:
        loop.wrapped.train()
    for batches in zip(*(loop.batches() for loop in loops), strict=True):
        step(batches)
        share = (time.monotonic() - started) / len(loops)
        for loop, before in zip(loops, seconds, strict=True):
            loop.state.progress.seconds = before + share
            if loop.state.progress.batch % FLUSH_EVERY == 0:
                loop.flush()
        save_when_due(loops, stop)
    for loop in loops:
        loop.flush()
        loop.close_epoch()
    save_when_due(loops, stop)


def save_when_due(loops: Sequence[Loop], stop: StopRequest) -> None:
    """Write checkpoints if the last ones are old, or if training is asked to stop, and then stop it."""
    due = time.monotonic() - loops[0].saved > CHECKPOINT_SECONDS
    stop.number, anywhere_due = loops[0].agreement.largest(stop.number, due)
    if stop.number or anywhere_due:
        for loop in loops:
            loop.save()
    stop.obey()


def named(values: Sequence[float]) -> dict[str, float]:
    """Three terms and their sum, by name."""
    return {"loss": sum(values), **dict(zip(Terms._fields, values, strict=True))}
