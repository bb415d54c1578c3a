"""The papers that the methods come from, and how to cite them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A publication: `key` is its BibTeX key, `url` where it is read."""

    key: str
    title: str
    authors: str
    year: int
    venue: str
    url: str

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}). {self.title}. {self.venue}. {self.url}"

    @property
    def bibtex(self) -> str:
        """A BibTeX entry."""
        names = self.authors.replace(", ", " and ")
        return (
            f"@inproceedings{{{self.key},\n  title = {{{self.title}}},\n  author = {{{names}}},\n"
            f"  booktitle = {{{self.venue}}},\n  year = {{{self.year}}},\n  url = {{{self.url}}}\n}}"
        )


AUTOENCODER = Paper(
    "hinton2006reducing",
    "Reducing the Dimensionality of Data with Neural Networks",
    "Geoffrey Hinton, Ruslan Salakhutdinov",
    2006,
    "Science",
    "https://doi.org/10.1126/science.1127647",
)
VAE = Paper(
    "kingma2014auto",
    "Auto-Encoding Variational Bayes",
    "Diederik Kingma, Max Welling",
    2014,
    "International Conference on Learning Representations",
    "https://arxiv.org/abs/1312.6114",
)
BETA_VAE = Paper(
    "higgins2017beta",
    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
    "Irina Higgins, Loic Matthey, Arka Pal, Christopher Burgess, Xavier Glorot, Matthew Botvinick, "
    "Shakir Mohamed, Alexander Lerchner",
    2017,
    "International Conference on Learning Representations",
    "https://openreview.net/forum?id=Sy2fzU9gl",
)
WAE = Paper(
    "tolstikhin2018wasserstein",
    "Wasserstein Auto-Encoders",
    "Ilya Tolstikhin, Olivier Bousquet, Sylvain Gelly, Bernhard Schölkopf",
    2018,
    "International Conference on Learning Representations",
    "https://arxiv.org/abs/1711.01558",
)
RAE = Paper(
    "ghosh2020variational",
    "From Variational to Deterministic Autoencoders",
    "Partha Ghosh, Mehdi Sajjadi, Antonio Vergari, Michael Black, Bernhard Schölkopf",
    2020,
    "International Conference on Learning Representations",
    "https://arxiv.org/abs/1903.12436",
)
