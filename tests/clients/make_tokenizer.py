"""Makes a small tokenizer of our own, for clients that count tokens and fetch one from the net if they have none.

Run with the Python of such a client, which brings `tokenizers` and `transformers`: make_tokenizer.py FOLDER. It has no
merges that matter: a byte-level BPE trained on a sentence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # pyright: ignore
from transformers import PreTrainedTokenizerFast  # pyright: ignore

SENTENCE = "an emulated supernode answers with words of three letters, so that each is one token "


def main() -> None:
    """The command."""
    folder = Path(sys.argv[1])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"])
    tokenizer.train_from_iterator([SENTENCE] * 100, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    fast.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))


if __name__ == "__main__":
    main()
