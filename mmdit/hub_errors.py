"""Why the Hugging Face hub gave nothing, as one sentence with the remedy, for models and for LoRAs alike.

In: what huggingface_hub raised, and of which repository. Out: an error of the caller's own kind. Downloads nothing, and
knows nothing of what is fetched; where it is said differently of a model and of a LoRA, the caller says it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def hub_errors(repository: str, kind: type[ValueError], explain: Callable[[Exception], str]) -> Iterator[None]:
    """Within it, what huggingface_hub and the network raise becomes one sentence.

    Args:
        kind: the error to raise with it.
        explain: the sentence for all but a licence that wasn't accepted and a repository that can't be read.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        problem = f"{repository} wants its licence accepted; do so at {page(repository)} and run `hf auth login`"
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        problem = f"the hub has no {repository} that you may read; check the name, or run `hf auth login`"
    except (errors.EntryNotFoundError, errors.HTTPError, OSError) as error:
        problem = explain(error)
    else:
        return
    raise kind(problem)


def out_of_reach(what: str, repository: str, fetch: str, give: str) -> str:
    """The sentence for what is neither here nor to be had without a network.

    Args:
        what: is missing.
        fetch, give: what people can get in another way, and what of it they then name: "it" and "folder".
    """
    return (
        f"{what} is not on this machine and the hub can't be reached; go online once, or fetch {fetch} from "
        f"{page(repository)} in another way and give its {give}"
    )


def page(repository: str) -> str:
    """The address of a repository, for people."""
    return f"https://huggingface.co/{repository}"
