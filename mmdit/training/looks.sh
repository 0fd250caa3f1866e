#!/bin/sh
# How the LoRA presets of the embedded editor were made: pairs by definition, one LoRA a look, thumbnails, numbers.
#
#   sh mmdit/training/looks.sh DATA WORK
#
# DATA is the folder that mmdit.training.prepare filled, WORK a folder for pairs and unfinished runs. An interrupted
# training goes on where it was saved.
set -eu
data=$1 work=$2
python=${PYTHON:-python}

[ -d "$work/pairs" ] || "$python" -m mmdit.training.pairs --data "$data" --look all --count 800 --out "$work/pairs"
# Two looks that `looks.py` defines are left out: as taught here, a mosaic came out as a blur and a screen print too far off.
for look in thermal cyanotype pencil-sketch emboss infrared phosphor solarise rainbow; do
    case $look in solarise | rainbow) steps=400 ;; *) steps=160 ;; esac
    [ -f "$work/$look.safetensors" ] || "$python" -m mmdit lora train --model mini --pairs "$work/pairs/$look" \
        --rank 16 --alpha 16 --targets all --steps $steps --batch 16 --precision bfloat16 -o "$work/$look.safetensors"
    cp "$work/$look.safetensors" lora_presets/
done
"$python" -m mmdit.training.evaluate_looks --data "$data" --presets lora_presets --out "$work/results" --thumbnails
"$python" -m mmdit.training.evaluate_looks --data "$data" --presets lora_presets --out "$work/results"
