"""Whether the Hugging Face hub has a repository, by one request that ends soon."""

from typing import Literal

# of the request: the hub's client waits without limit for an answer, and `datasets` tries again for 23 s
SECONDS = 5.0


def fault(repo: str, kind: Literal["model", "dataset"]) -> str | None:
    """Why the hub does not give a repository, as the end of a sentence; None if it does."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi().repo_info(repo, repo_type=kind, timeout=SECONDS)
    except errors.HFValidationError:
        return "this is no name of the hub (as OWNER/NAME is)"
    except errors.RepositoryNotFoundError:
        return f"the hub has no {kind} of this name, or it is private"
    except errors.OfflineModeIsEnabled:
        return "the hub is turned off by HF_HUB_OFFLINE"
    except errors.HfHubHTTPError as error:
        return f"the hub answers with an error (HTTP {error.response.status_code})"
    except Exception as error:  # the client's network errors changed their classes more than once
        return f"the hub cannot be reached ({type(error).__name__})"
    return None
