"""The flags of `hdl train` that set fields of the spec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """A flag that sets one field of the spec; `field` is the path in its JSON."""

    name: str
    field: str
    metavar: str
    help: str
    section: str

    @property
    def key(self) -> str:
        """Name under which click hands the value over; apart from all other options' names."""
        return "spec_" + self.name[2:].replace("-", "_")


def _section(section: str, *flags: tuple[str, str, str, str]) -> list[Flag]:
    return [Flag(name, field, metavar, about, section) for name, field, metavar, about in flags]


FLAGS = [
    *_section(
        "Network",
        ("--model", "model", "", "Kind of network."),
        ("--net", "net", "I-H-…-O", "Widths from inputs to outputs; 0 at an end is read from the data."),
        ("--activation", "activation", "", "Activation of hidden layers."),
        ("--leak", "leak", "X", "Slope of leaky_relu below 0."),
        ("--loss", "loss", "", "Output and its loss; default: told by the labels."),
        ("--delta", "delta", "X", "Where huber goes from squares to magnitudes, in the targets' deviations."),
        ("--quantile", "quantile", "Q", "Which quantile the loss quantile asks for."),
        ("--power", "power", "P", "Power of the mean that is tweedie's variance, between 1 and 2."),
        ("--label-smoothing", "label_smoothing", "SHARE", "Share of a class's probability that goes to all classes."),
        ("--class-weight", "class_weight", "balanced|A=3,…", "What samples of each class count; the others' are 1."),
        ("--members", "members", "K", "Nets of an ensemble, trained side by side, whose answers are averaged."),
        ("--init", "init", "NAME", "glorot, he, lecun or uniform[LOW,HIGH]; default: what suits the activation."),
        ("--l1", "l1", "LAMBDA", "Adds LAMBDA·|W| to the mean loss; biases exempt."),
        ("--l2", "l2", "LAMBDA", "Adds LAMBDA/2·|W|² to the mean loss; biases exempt."),
        ("--max-norm", "max_norm", "X", "Longest vector of weights into a unit; 0 for no limit."),
        ("--dropout", "dropout", "P", "Share of hidden units dropped in a step."),
        ("--input-dropout", "input_dropout", "P", "Share of inputs dropped in a step."),
    ),
    *_section(
        "Training",
        ("--epochs", "epochs", "N", "Passes over the data."),
        ("--batch", "batch", "N", "Samples in a mini-batch; 0: all; default: 32, large data 100, searches 0."),
        ("--optimizer", "optimizer.name", "", "Update rule; gd, cg and lbfgs search along a line."),
        ("--lr", "optimizer.lr", "X", "Learning rate; default: the rule's own."),
        ("--schedule", "optimizer.schedule.name", "", "Learning rate over epochs."),
        ("--lr-decay", "optimizer.schedule.decay", "X", "Decay of the schedules inverse, exponential and step."),
        ("--lr-every", "optimizer.schedule.every", "EPOCHS", "Distance of the schedule step's steps."),
        ("--warmup", "optimizer.schedule.warmup", "EPOCHS", "Rise of the learning rate at the start."),
        (
            "--weight-decay",
            "optimizer.weight_decay",
            "X",
            "Shrinks weights by lr·X a step, beside the gradient (AdamW).",
        ),
        ("--momentum", "optimizer.momentum", "X", "Momentum of momentum and nesterov."),
        ("--beta1", "optimizer.beta1", "X", "Decay of adam's first moment."),
        ("--beta2", "optimizer.beta2", "X", "Decay of adam's second moment."),
        ("--rho", "optimizer.rho", "X", "Decay of adadelta and rmsprop."),
        ("--epsilon", "optimizer.epsilon", "X", "Keeps adaptive rules from dividing by 0."),
        ("--history", "optimizer.history", "N", "Pairs that lbfgs keeps."),
        ("--max-evaluations", "optimizer.max_evaluations", "N", "Evaluations that a line search may take."),
        ("--iterations", "optimizer.iterations", "N", "Line-search iterations in a row on one mini-batch."),
        (
            "--validation",
            "validation",
            "SHARE|DATA|column:NAME[=VALUE]|where:CONDITION",
            "Samples held out to measure: a share of each class, chosen by the seed; data of its own; rows where a "
            "column is true, or has a value; or rows of a condition, such as \"where:dt >= '2024-01-01'\".",
        ),
        (
            "--metric",
            "metric",
            "",
            "Measure of the samples held out that decides which version is best; default: cost.",
        ),
        ("--patience", "patience", "ROUNDS", "Stop after so many rounds without a better metric; 0 for never."),
        ("--seed", "seed", "N", "Seed of all that is random."),
        ("--precision", "precision", "", "What the factors of products are rounded to: bf16, or on a GPU tf32."),
    ),
    *_section(
        "Fine-tuning",
        (
            "--freeze",
            "tuning.freeze",
            "LAYERS",
            "Layers that stay as they are: 1,3 or 1-2, names, globs, or all-but-last.",
        ),
        ("--lr-layer", "tuning.lr", "LAYER=FACTOR,…", "Factors of the learning rate: 1=0.1,head=10."),
        ("--layer-decay", "tuning.layer_decay", "X", "Each layer's learning rate is X times that of the one above it."),
        ("--l2-sp", "tuning.l2_sp", "LAMBDA", "Adds LAMBDA/2·|W - W at the start|² to the mean loss; biases exempt."),
        ("--head", "tuning.head", "", "With --init-from: whether the last layer is the network's, or a new one."),
        ("--add-classes", "tuning.add_classes", "", "With --init-from: adds the data's new classes to the last layer."),
    ),
    *_section(
        "Rounds",
        ("--sync", "sync.mode", "", "What a round merges: gradients, weights, or a population."),
        ("--sync-every", "sync.every", "N[batches]", "Epochs (5, 5epochs) or mini-batches (20batches) between merges."),
        ("--sync-equal", "sync.equal", "N", "Async: rounds of the fastest worker between two merges of all."),
        ("--staleness", "sync.staleness", "N", "Async: rounds that weights may be behind to be merged."),
        ("--shards", "shards", "N", "Parts of the data, one network or sum each; default: the workers."),
        ("--truncation", "sync.genetic.keep", "SHARE", "Share of the population that may be parents."),
        ("--elite", "sync.genetic.elite", "N", "Best networks passed on unchanged."),
        ("--crossover", "sync.genetic.crossover", "", "How two parents' weights mix."),
        ("--mutation-rate", "sync.genetic.mutation_rate", "P", "Share of weights that mutate."),
        ("--mutation-scale", "sync.genetic.mutation_scale", "X", "Size of mutations, in the layer's own deviations."),
        ("--fitness-samples", "sync.genetic.fitness_samples", "N", "Common samples on which fitness is measured."),
        ("--keep", "keep", "N", "Versions kept besides the first, the best and the last."),
    ),
    *_section(
        "Autoencoders (also stacked)",
        ("--decoder", "autoencoder.decoder", "", "Units of the reconstruction."),
        ("--tied", "autoencoder.tied", "", "The decoder's weights are the encoder's."),
        ("--sparsity", "autoencoder.rho", "RHO", "Target of each code's average activation over all data."),
        ("--sparsity-weight", "autoencoder.beta", "BETA", "Weight of the sparsity term; 0 for none."),
        ("--sparsity-memory", "autoencoder.memory", "X", "Share that a running average activation keeps at a step."),
        ("--corruption", "autoencoder.corruption", "P", "Share of inputs set to 0 before they are encoded."),
        ("--contractive", "autoencoder.contractive", "LAMBDA", "Weight of the codes' squared Jacobian."),
    ),
    *_section(
        "RBMs (also dbn)",
        ("--visible", "rbm.visible", "", "Units of the data."),
        ("--cd", "rbm.k", "K", "Gibbs steps of contrastive divergence."),
        ("--persistent", "rbm.persistent", "", "Chains go on from step to step."),
        ("--chains", "rbm.chains", "N", "Persistent chains a shard."),
        ("--rbm-sparsity", "rbm.rho", "RHO", "Target of each hidden unit's average activation."),
        ("--rbm-sparsity-rate", "rbm.beta", "BETA", "Rate at which biases move towards it; 0 for none."),
    ),
    *_section(
        "Stacks (stacked, dbn)",
        ("--pretrain-epochs", "pretrain.epochs", "N", "Passes over the data for each layer."),
        ("--pretrain-optimizer", "pretrain.optimizer", "", "Update rule of the layers; adam, for RBMs momentum."),
        ("--pretrain-lr", "pretrain.lr", "X", "Learning rate of the layers; default: the rule's own, for RBMs 0.05."),
        ("--pretrain-batch", "pretrain.batch", "N", "Samples in a mini-batch of the layers; default: as --batch."),
        ("--pretrain-l2", "pretrain.l2", "LAMBDA", "Weight decay of the layers."),
        ("--finetune", "finetune", "", "What follows: a softmax on top, the layers unrolled, or nothing."),
    ),
    *_section(
        "Tables",
        ("--missing", "preprocessing.missing", "", "What stands for numbers that are missing."),
        ("--min-count", "preprocessing.min_count", "N", "Levels that fewer rows have become one, other."),
        ("--max-levels", "preprocessing.max_levels", "N", "Levels of a category; of more the most frequent ones."),
        ("--hash-buckets", "preprocessing.hash_buckets", "N", "Levels share N inputs by their hash; 0: each its own."),
        ("--embedding", "embedding", "N|auto", "Width of a learned vector for each level; 0: none."),
        ("--numeric-embedding", "preprocessing.numeric_embedding", "", "Several inputs for a number; default: one."),
        ("--bins", "preprocessing.bins", "N", "Inputs of a number with --numeric-embedding."),
    ),
    *_section(
        "Data",
        (
            "--scale",
            "scale",
            "RULE",
            "auto, none, minmax, standard, robust, quantile, log, divide or divide:X; stored with the model.",
        ),
        ("--shuffle-window", "shuffle_window", "N", "Samples shuffled together; 0 for none."),
    ),
]
