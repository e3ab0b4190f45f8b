//! The board: what must be known of it to compare its figures with another's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Instruction sets that ONNX Runtime's kernels choose by, as `/proc/cpuinfo` calls them; x86 first, then Arm.
const WATCHED: [&str; 21] = [
    "sse4_1",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx_vnni",
    "avx_vnni_int8",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "neon",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
];
/// Those that multiply and add 8-bit integers in one instruction, the fastest first. Without one int8 networks are hardly faster than
/// float ones.
const INT8: [&str; 6] = ["amx_int8", "avx512_vnni", "avx_vnni_int8", "avx_vnni", "i8mm", "asimddp"];

/// A board, or any other computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What the board calls itself in its device tree; most computers but single boards have none.
    pub board: Option<String>,
    /// Names of its processors, several where they differ.
    pub cpu: Vec<String>,
    /// `x86_64`, `aarch64`, ..
    pub architecture: String,
    /// The instruction sets that matter for networks, as the system calls them.
    pub instruction_sets: Vec<String>,
    /// Processors that this program may use.
    pub cores: usize,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// The operating system.
    pub system: String,
    /// Its kernel.
    pub kernel: Option<String>,
}

impl Machine {
    /// The machine that this runs on, as far as it tells.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let word = |path: &str| read(path).map(|text| plain(&text)).filter(|text| !text.is_empty());
        let facts = read("/proc/cpuinfo").map(|text| CpuFacts::of(&text)).unwrap_or_default();
        let system = read("/etc/os-release").and_then(|text| system_name(&text));
        Self {
            board: word("/proc/device-tree/model"),
            cpu: facts.names,
            architecture: std::env::consts::ARCH.to_owned(),
            instruction_sets: facts.instruction_sets,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: read("/proc/meminfo").and_then(|text| memory(&text)),
            system: system.unwrap_or_else(|| std::env::consts::OS.to_owned()),
            kernel: word("/proc/sys/kernel/osrelease"),
        }
    }

    /// What it is called unless somebody calls it otherwise: the board's own name, else its processor's, else its architecture's.
    pub fn name(&self) -> String {
        let cpu = || (!self.cpu.is_empty()).then(|| self.cpu.join(" + "));
        self.board.clone().or_else(cpu).unwrap_or_else(|| self.architecture.clone())
    }

    /// The fastest instruction set for 8-bit integers that it has.
    pub fn int8(&self) -> Option<&str> {
        INT8.into_iter().find(|wanted| self.instruction_sets.iter().any(|set| set == wanted))
    }

    /// The machine in a line.
    pub fn to_text(&self) -> String {
        let cpu = if self.cpu.is_empty() { self.architecture.clone() } else { self.cpu.join(" + ") };
        let sets = match self.instruction_sets.is_empty() {
            true => "instruction sets unknown".to_owned(),
            false => self.instruction_sets.join(" "),
        };
        let memory = self.memory_bytes.map_or(String::new(), |bytes| format!(", {:.1} GB memory", bytes as f64 / 1e9));
        let kernel = self.kernel.as_ref().map_or(String::new(), |kernel| format!(" ({kernel})"));
        let cores = if self.cores == 1 { "1 core".to_owned() } else { format!("{} cores", self.cores) };
        format!("{cpu}, {cores}, {}, {sets}{memory}, {}{kernel}", self.architecture, self.system)
    }

    /// What its instruction sets mean for int8 networks, in a sentence.
    pub fn int8_text(&self) -> String {
        match self.int8() {
            Some(set) => format!("int8: this processor multiplies 8-bit integers with {set}"),
            None if self.instruction_sets.is_empty() => "int8: what this processor can do is not known".to_owned(),
            None => "int8: this processor has no instructions for it (VNNI, AMX, dot product); an int8 network may be no faster than a float \
                     one, a pruned one is"
                .to_owned(),
        }
    }
}

/// What `/proc/cpuinfo` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct CpuFacts {
    names: Vec<String>,
    instruction_sets: Vec<String>,
}

impl CpuFacts {
    /// Reads the file's text. On x86 it has a name and flags for each processor, on Arm numbers of maker and part, and features. Only
    /// what all processors have counts: a network runs on any of them.
    fn of(cpuinfo: &str) -> Self {
        let (mut names, mut parts): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut processors = 0;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut maker = "";
        let add = |names: &mut Vec<String>, name: String| {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        };
        for line in cpuinfo.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key.trim() {
                "model name" => add(&mut names, plain(value)),
                "CPU implementer" => maker = value,
                "CPU part" => add(&mut parts, part_name(maker, value)),
                "flags" | "Features" => {
                    processors += 1;
                    for flag in value.split_ascii_whitespace() {
                        *counts.entry(flag).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        let has = |set: &str| counts.get(set).is_some_and(|count| *count >= processors);
        let instruction_sets = WATCHED.into_iter().filter(|set| has(set)).map(str::to_owned).collect();
        // On Arm a `model name` only tells the architecture ("ARMv7 Processor rev 3 (v7l)").
        Self { names: if parts.is_empty() { names } else { parts }, instruction_sets }
    }
}

/// The name of an Arm core by the numbers of its maker and part, those of robots' boards (Arm's and the makers' manuals).
fn part_name(maker: &str, part: &str) -> String {
    let name = match (maker, part) {
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd04") => "Cortex-A35",
        ("0x41", "0xd05") => "Cortex-A55",
        ("0x41", "0xd07") => "Cortex-A57",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd09") => "Cortex-A73",
        ("0x41", "0xd0a") => "Cortex-A75",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0c") => "Neoverse-N1",
        ("0x41", "0xd40") => "Neoverse-V1",
        ("0x41", "0xd41") => "Cortex-A78",
        ("0x41", "0xd42") => "Cortex-A78AE",
        ("0x41", "0xd49") => "Neoverse-N2",
        ("0x41", "0xd4b") => "Cortex-A78C",
        ("0x41", "0xd4f") => "Neoverse-V2",
        ("0x4e", "0x003") => "NVIDIA Denver 2",
        ("0x4e", "0x004") => "NVIDIA Carmel",
        _ => return format!("Arm part {part} of maker {maker}"),
    };
    name.to_owned()
}

/// The memory that `/proc/meminfo` tells, in bytes.
fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The system's name for people in `/etc/os-release`.
fn system_name(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(plain(value.trim().trim_matches(['"', '\'']))).filter(|name| !name.is_empty())
}

/// Words with one space between them, and nothing that is no text: names in the device tree end with a zero.
fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEL: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)  Gold 6338 CPU @ 2.00GHz\ncache size\t: 49152 KB\n\
        flags\t\t: fpu vme sse4_1 avx f16c fma avx2 avx512f avx512bw avx512_vnni\nvmx flags\t: vnmi avx_vnni\nbugs\t\t: spectre_v1\n\n\
        processor\t: 1\nmodel name\t: Intel(R) Xeon(R)  Gold 6338 CPU @ 2.00GHz\nflags\t\t: fpu vme sse4_1 avx f16c fma avx2 avx512f avx512bw avx512_vnni\n";
    const AMD: &str = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu fma sse4_1 avx f16c avx2 fsrm\n";
    const RASPBERRY: &str = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm aes pmull asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n\
        CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\nRevision\t: c04170\n\
        Model\t\t: Raspberry Pi 5 Model B Rev 1.0\n";
    /// Two large cores with more than the two small ones.
    const MIXED: &str = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 4 (v8l)\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n\n\
        processor\t: 1\nmodel name\t: ARMv8 Processor rev 4 (v8l)\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n\
        processor\t: 2\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x61\nCPU part\t: 0x032\n";

    fn machine(cpuinfo: &str) -> Machine {
        let CpuFacts { names, instruction_sets } = CpuFacts::of(cpuinfo);
        Machine {
            board: None,
            cpu: names,
            architecture: "x86_64".into(),
            instruction_sets,
            cores: 2,
            memory_bytes: Some(8_000_000_000),
            system: "Ubuntu 24.04.1 LTS".into(),
            kernel: Some("6.8.0".into()),
        }
    }

    #[test]
    fn x86_is_told_by_its_name_and_flags() {
        let intel = machine(INTEL);
        assert_eq!(intel.cpu, ["Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"]);
        let sets = ["sse4_1", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni"];
        assert_eq!(
            (intel.instruction_sets.as_slice(), intel.int8()),
            (sets.map(String::from).as_slice(), Some("avx512_vnni"))
        );
        let amd = machine(AMD);
        assert_eq!((amd.name().as_str(), amd.int8()), ("AMD EPYC", None));
        assert!(amd.int8_text().contains("no faster") && intel.int8_text().contains("avx512_vnni"));
        assert_eq!(
            amd.to_text(),
            "AMD EPYC, 2 cores, x86_64, sse4_1 avx f16c fma avx2, 8.0 GB memory, Ubuntu 24.04.1 LTS (6.8.0)"
        );
    }

    #[test]
    fn arm_is_told_by_its_parts_and_by_what_all_cores_have() {
        let raspberry = machine(RASPBERRY);
        assert_eq!(raspberry.cpu, ["Cortex-A76"]);
        assert_eq!(raspberry.instruction_sets, ["asimd", "asimdhp", "asimddp"]);
        assert_eq!(raspberry.int8(), Some("asimddp"));
        let mixed = machine(MIXED);
        assert_eq!(mixed.cpu, ["Cortex-A53", "Cortex-A76", "Arm part 0x032 of maker 0x61"]);
        assert_eq!((mixed.instruction_sets.as_slice(), mixed.int8()), (&["asimd".to_owned()][..], None));
        assert!(mixed.name().starts_with("Cortex-A53 + Cortex-A76"));
    }

    #[test]
    fn what_is_not_told_is_unknown() {
        let nothing = machine("hello\n\n: :\n");
        assert_eq!((nothing.name().as_str(), nothing.instruction_sets.is_empty()), ("x86_64", true));
        assert!(nothing.int8_text().contains("not known") && nothing.to_text().contains("unknown"));
        assert_eq!(memory("MemTotal:        8024368 kB\nMemFree: 1 kB\n"), Some(8_024_368 * 1024));
        assert_eq!((memory("MemTotal: many kB\n"), memory("")), (None, None));
        assert_eq!(
            system_name("NAME=\"x\"\nPRETTY_NAME=\"Ubuntu 22.04.5 LTS\"\n").as_deref(),
            Some("Ubuntu 22.04.5 LTS")
        );
        assert_eq!(plain("Raspberry Pi 5\u{0}\n"), "Raspberry Pi 5");
    }

    #[test]
    fn this_machine_comes_back_from_json() {
        let here = Machine::here();
        assert!(here.cores >= 1 && !here.system.is_empty());
        let json = serde_json::to_string(&here).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&json).unwrap(), here);
    }
}
