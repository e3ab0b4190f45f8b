# Synthetic recordings that several scripts need. Sourced, with the program in `distill`; what is there is not made again.

# record FOLDER ARGUMENTS...: a recording.
record() {
    [ -e "$1/metadata.yaml" ] || "$distill" synth --out "$1" --force "${@:2}"
}

# five FOLDER FIRST LAST: short recordings of as many warehouses with five classes.
five() {
    local seed
    for seed in $(seq "$2" "$3"); do
        record "$1/w$seed" --rate 4 --seed "$seed" --seconds 15 --with cart,cone
    done
}

# Names and seeds of the warehouses, a minute each, that lidar students are taught and judged by.
lidar_recordings=(train_1:601 train_2:602 train_3:603 train_4:604 train_5:615 train_6:616 train_7:617 train_8:618 test:605)
