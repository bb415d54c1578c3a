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
UAE = Paper(
    "janjos2023unscented",
    "Unscented Autoencoder",
    "Faris Janjoš, Lars Rosenbaum, Maxim Dolgov, J. Marius Zöllner",
    2023,
    "International Conference on Machine Learning",
    "https://arxiv.org/abs/2306.05256",
)
SAMPLING_FREE = Paper(
    "anonymous2021sampling",
    "A Sampling-Free Approximation of Gaussian Variational Auto-Encoders",
    "Anonymous",
    2021,
    "Under double-blind review",
    "https://openreview.net",
)
AVAE = Paper(
    "saha2023matching",
    "Matching aggregate posteriors in the variational autoencoder",
    "Surojit Saha, Sarang Joshi, Ross Whitaker",
    2023,
    "arXiv",
    "https://arxiv.org/abs/2311.07693",
)
AR_ELBO = Paper(
    "takida2021ar",
    "AR-ELBO: Preventing Posterior Collapse Induced by Oversmoothing in Gaussian VAE",
    "Yuhta Takida, Wei-Hsiang Liao, Toshimitsu Uesaka, Shusuke Takahashi, Yuki Mitsufuji",
    2021,
    "arXiv",
    "https://arxiv.org/abs/2102.08663",
)
AAE = Paper(
    "makhzani2015adversarial",
    "Adversarial Autoencoders",
    "Alireza Makhzani, Jonathon Shlens, Navdeep Jaitly, Ian Goodfellow, Brendan Frey",
    2015,
    "arXiv",
    "https://arxiv.org/abs/1511.05644",
)
FACTOR_VAE = Paper(
    "kim2018disentangling",
    "Disentangling by Factorising",
    "Hyunjik Kim, Andriy Mnih",
    2018,
    "International Conference on Machine Learning",
    "https://arxiv.org/abs/1802.05983",
)
BETA_TCVAE = Paper(
    "chen2018isolating",
    "Isolating Sources of Disentanglement in Variational Autoencoders",
    "Ricky Chen, Xuechen Li, Roger Grosse, David Duvenaud",
    2018,
    "Advances in Neural Information Processing Systems",
    "https://arxiv.org/abs/1802.04942",
)
IWAE = Paper(
    "burda2016importance",
    "Importance Weighted Autoencoders",
    "Yuri Burda, Roger Grosse, Ruslan Salakhutdinov",
    2016,
    "International Conference on Learning Representations",
    "https://arxiv.org/abs/1509.00519",
)
STL = Paper(
    "roeder2017sticking",
    "Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference",
    "Geoffrey Roeder, Yuhuai Wu, David Duvenaud",
    2017,
    "Advances in Neural Information Processing Systems",
    "https://arxiv.org/abs/1703.09194",
)
LINEAR_VAE = Paper(
    "lucas2019dont",
    "Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse",
    "James Lucas, George Tucker, Roger Grosse, Mohammad Norouzi",
    2019,
    "Advances in Neural Information Processing Systems",
    "https://arxiv.org/abs/1911.02469",
)
