"""The verbs about one run: train, sample, evaluate, diagnose."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sigmae.cli.app import app, examples, Flag, Many
from sigmae.errors import SigmaeError
from sigmae.settings import DEFAULT_METHOD, TrainingConfig, Unsaid


@app.command(
    help_epilogue=examples(
        {
            "sigmae train digits --method rae-l2 --epochs 100 --out runs/digits": "A method, on data that ship.",
            "sigmae train ./photos": "Your own pictures; what you leave open is proposed, with the reasons.",
            "sigmae train digits --method vae --set latent.weight=0.1 --set decoder=WeightNorm": "Another value, part.",
            "sigmae train digits --logger tensorboard --out runs/watched": "With its losses in TensorBoard.",
        }
    )
)
def train(
    source: str,
    /,
    *,
    method: str = DEFAULT_METHOD,
    out: Path | None = None,
    latent_dim: int = Unsaid(16),
    network: str | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    data_dir: Path | None = None,
    training: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    features: str | None = None,
    inception_file: Path | None = None,
    logger: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int = 1,
    nodes: int = 1,
    json: Flag = False,
) -> None:
    """Train a model, fit densities to its codes, evaluate it and write a report.

    The same command continues a run that was stopped, and leaves a finished one as it is.

    Parameters
    ----------
    source
        A data set's name, a folder or zip of images, a .npy or .npz file, hf:NAME, or module:attribute.
    method
        A method's name (sigmae list methods), or module:attribute.
    out
        The run's folder; runs/SOURCE-METHOD if not given.
    latent_dim
        Size of the latent space.
    network
        A network's name (sigmae list networks), or module:attribute; chosen by image size if not given.
    image_size
        Bring images to this height and width.
    limit
        Take only the first so many examples of each split.
    data_dir
        Where the files of a named data set lie.
    settings
        A part's field, part=Type, or a network's option: latent.weight=0.1, latent=MMD, network.width=16.
    features
        Features for distances between sets of images: classifier, inception, random, or module:attribute.
    inception_file
        The standard Inception weights, inception-2015-12-05.pt.
    logger
        Where losses and numbers go as well: tensorboard, wandb, mlflow, or module:attribute.
    device
        What to train on.
    devices
        How many devices to train on, by data-parallel training.
    nodes
        How many machines to train on.
    json
        Print the results as JSON.
    """
    from sigmae.api import plan
    from sigmae.cli.processes import one_of_several, run_in_processes, to_be_started
    from sigmae.config import foreign_modules
    from sigmae.console import Display
    from sigmae.evaluation import QUICK
    from sigmae.metrics.features import load_features
    from sigmae.proposals import Choices, settled
    from sigmae.report import read_record
    from sigmae.runs import evaluate_run, is_evaluated, Observers, open_run, read_rows, train_run
    from sigmae.training import make_fabric
    from sigmae.training.loggers import both, logged
    from sigmae.training.processes import check_shares, losses_told

    fabric = make_fabric(training.precision, device, devices, nodes)
    check_shares(training.batch_size, devices * nodes)
    if to_be_started(fabric):
        raise SystemExit(run_in_processes(fabric, devices))
    with one_of_several(), losses_told():
        fabric.launch()
        folder = out or Path("runs") / f"{Path(source).stem.replace(':', '-')}-{method.replace(':', '-')}"
        said = Choices(image_size, network, latent_dim, training)
        chosen = settled(said, source, folder, limit, accelerated=fabric.device.type != "cpu")
        Display(quiet=not fabric.is_global_zero).proposed(chosen.reasons)
        planned = plan(
            source,
            method,
            latent_dim=chosen.latent_dim,
            network=chosen.network,
            settings=settings or (),
            image_size=chosen.image_size,
            limit=limit,
            data_dir=data_dir,
            training=chosen.training,
        )
        if fabric.is_global_zero:
            if features is not None and planned.data.is_image:
                load_features(
                    features, planned.data, inception_file=inception_file
                )  # before hours of training, not after
            open_run(folder, planned.config)
        fabric.barrier()
        loggers = logger if fabric.is_global_zero and logger and not is_evaluated(folder) else ()
        with (
            Display(chosen.training.epochs, quiet=not fabric.is_global_zero) as display,
            logged(loggers, folder, planned.config, display.warning) as log,
        ):
            observers = Observers(both(display.training, log.training), display.stage, display.warning)
            model = train_run(planned.model, planned.data, planned.config, folder, fabric=fabric, observers=observers)
            if not fabric.is_global_zero:
                return
            if not is_evaluated(folder):
                evaluate_run(
                    model,
                    planned.data,
                    folder,
                    metrics=QUICK,
                    features=features,
                    inception_file=inception_file,
                    seed=training.seed,
                    observers=observers,
                )
                log.rows(read_rows(folder), read_record(folder).history[-1]["step"])
        display.rows(read_rows(folder), json)
        suffix = "png" if planned.data.is_image else "npy"
        display.next_steps(folder, model.default_density, suffix, foreign_modules(planned.config))


@app.command(
    help_epilogue=examples(
        {
            "sigmae sample runs/digits --count 64 --out samples.png": "A picture of 64 samples.",
            "sigmae sample runs/digits --density gmm100 --out samples.npy": "An array, of another density.",
        }
    )
)
def sample(
    run: Path,
    /,
    *,
    count: int = 64,
    density: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    trust: Annotated[list[str] | None, Many] = None,
) -> None:
    """Decode draws of a density: a picture (.png), or the images as an array (.npy).

    Parameters
    ----------
    run
        A run's folder.
    count
        How many.
    density
        One of sigmae list densities; gmm10 if not given. One that was not fitted yet is fitted to the training
        data and kept.
    out
        A .png file for a picture, a .npy file for floats of shape (count, channels, height, width);
        samples.png if not given, samples.npy for data that are not images.
    seed
        Another seed, other samples.
    data_dir
        Where the data lie, if they have moved and a density must be fitted.
    trust
        A module outside this library that the run may import.
    """
    from sigmae.console import Display
    from sigmae.runs import load_run, Observers, read_run, sample_run

    if count < 1:
        raise SigmaeError(f"--count must be 1 or more, got {count}.")
    model = load_run(run, trust=trust or ())
    out = out or Path("samples.png" if len(read_run(run).model.shape) == 3 else "samples.npy")
    with Display() as display:
        observers = Observers(stage=display.stage)
        sample_run(
            model,
            run,
            out,
            count=count,
            density=density,
            seed=seed,
            data_dir=data_dir,
            trust=trust or (),
            observers=observers,
        )
    print(f"{count} samples in {out}")


@app.command(
    help_epilogue=examples(
        {
            "sigmae evaluate runs/digits": "Every metric that applies.",
            "sigmae evaluate runs/digits --metrics fid prd --features random --densities gaussian gmm100": "Some.",
        }
    )
)
def evaluate(
    run: Path,
    /,
    *,
    metrics: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    features: str | None = None,
    inception_file: Path | None = None,
    densities: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    count: int = 10_000,
    points: int = 1000,
    split: Literal["test", "train"] = "test",
    seed: int = 0,
    data_dir: Path | None = None,
    trust: Annotated[list[str] | None, Many] = None,
    json: Flag = False,
) -> None:
    """Compute every metric that applies, as a table and in evaluation.json, and write the report anew.

    Parameters
    ----------
    run
        A run's folder.
    metrics
        Some of sigmae list metrics, or module:attribute; all if not given. Those of the same model that are not
        computed now stay.
    features
        Features for distances between sets of images: classifier, inception, random, or module:attribute.
    inception_file
        The standard Inception weights, inception-2015-12-05.pt.
    densities
        The densities to sample from; those that are fitted if not given.
    count
        How many images take part in a distance, if the splits have as many.
    points
        Importance samples for each image's likelihood.
    split
        The examples that are looked at: those of the test split, or of the training split in their place.
    seed
        Seed of samples and of pairs.
    data_dir
        Where the data lie, if they have moved.
    trust
        A module outside this library that the run may import.
    json
        Print the results as JSON.
    """
    from sigmae.console import Display
    from sigmae.runs import evaluate_run, load_run, Observers, read_rows, run_data

    model = load_run(run, trust=trust or ())
    data = run_data(run, data_dir, trust=trust or ())
    with Display() as display:
        observers = Observers(stage=display.stage, warning=display.warning)
        done = evaluate_run(
            model,
            data,
            run,
            metrics=metrics,
            features=features,
            inception_file=inception_file,
            densities=densities,
            count=count,
            points=points,
            split=split,
            seed=seed,
            observers=observers,
        )
    display.rows(read_rows(run), json)
    display.left_out(done.left_out)


@app.command(
    help_epilogue=examples(
        {
            "sigmae diagnose runs/digits": "Of the samples that the method means.",
            "sigmae diagnose runs/digits --density gmm10 --json": "Of those of another density, as JSON.",
        }
    )
)
def diagnose(
    run: Path,
    /,
    *,
    density: str | None = None,
    features: str | None = None,
    inception_file: Path | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    trust: Annotated[list[str] | None, Many] = None,
    json: Flag = False,
) -> None:
    """Say why a model's samples are bad: each cause with its numbers, and the command that mends it.

    Parameters
    ----------
    run
        A run's folder.
    density
        The density whose samples are meant; the one that the method means to be sampled if not given.
    features
        Features for distances between sets of images: classifier, inception, random, or module:attribute.
    inception_file
        The standard Inception weights, inception-2015-12-05.pt.
    seed
        Seed of samples.
    data_dir
        Where the data lie, if they have moved.
    trust
        A module outside this library that the run may import.
    json
        Print the diagnosis as JSON.
    """
    from sigmae.console import Display
    from sigmae.runs import diagnose_run, load_run, Observers, run_data

    model = load_run(run, trust=trust or ())
    data = run_data(run, data_dir, trust=trust or ())
    with Display() as display:
        found = diagnose_run(
            model,
            data,
            run,
            density=density,
            features=features,
            inception_file=inception_file,
            seed=seed,
            observers=Observers(stage=display.stage, warning=display.warning),
        )
    display.diagnosis(found, json)
