//! Writes the job scripts.
//!
//! **Invariant:** every path is quoted for the shell, and no script depends on the folder that it is
//! submitted from.

use crate::run::files::SHARDS;
use crate::run::shell::quoted;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The script that submits the others.
pub(super) const SUBMIT: &str = "submit.sh";

/// Seconds before its time limit at which Slurm signals a job, so that it can stop cleanly.
const GRACE_SECONDS: u32 = 120;

/// How many times a killed job is requeued. A process that runs out of memory is killed every time.
const MAX_KILLS: u32 = 3;

/// Settings of the cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Path of this program.
    pub(super) evol: PathBuf,
    pub(super) shards: u32,
    /// Maximum number of shards that run at once.
    pub(super) max_running: Option<u32>,
    /// `sbatch` options for all jobs.
    pub(super) options: Vec<String>,
    /// Additional `sbatch` options for the jobs that train and evaluate.
    pub(super) train_options: Vec<String>,
    pub(super) threads: Option<u32>,
    /// The value of `--device`.
    pub(super) device: Option<String>,
    /// Folder on a node's local disk, as a shell word.
    pub(super) scratch: Option<String>,
}

/// The jobs of a run.
#[derive(Debug)]
pub(super) struct Jobs {
    /// The run directory.
    pub(super) out: PathBuf,
    /// Folder of the scripts, logs and configuration.
    pub(super) dir: PathBuf,
    pub(super) cluster: Cluster,
}

/// The jobs after the shards, each of which waits for the one before: its name, and whether it needs the
/// training device. The report does, because it loads the trainer's checkpoint to see that training is done.
const AFTER: [(&str, bool); 4] = [("merge", false), ("train", true), ("eval", true), ("report", true)];

impl Jobs {
    /// All scripts: name and text.
    pub(super) fn scripts(&self) -> Vec<(String, String)> {
        let mut scripts = vec![("evolve.sh".to_owned(), self.shard())];
        for (name, wants_gpu) in AFTER {
            let head = self.head(name, wants_gpu, &[]);
            scripts
                .push((format!("{name}.sh"), format!("{head}\n{}{}", self.call(&self.command(name)), end())));
        }
        scripts.push((
            SUBMIT.to_owned(),
            format!("#!/bin/bash\n# Submits the run to Slurm.\nset -eu\n{}", self.submit()),
        ));
        scripts
    }

    /// The commands that submit the jobs.
    pub(super) fn submit(&self) -> String {
        let script = self.script("evolve");
        let mut text =
            format!("evolve=$(sbatch --parsable {script})\necho \"evolve: job ${{evolve%%;*}}\"\n");
        let mut before = "evolve";
        for (name, _) in AFTER {
            let script = self.script(name);
            let options = format!("--dependency=afterok:${{{before}%%;*}} --kill-on-invalid-dep=yes");
            let _ = writeln!(text, "{name}=$(sbatch --parsable {options} {script})");
            let _ = writeln!(text, "echo \"{name}: job ${{{name}%%;*}}\"");
            before = name;
        }
        text
    }

    fn script(&self, name: &str) -> String {
        word(&self.dir.join(format!("{name}.sh")))
    }

    /// The script of a shard.
    fn shard(&self) -> String {
        let Cluster { shards, max_running, scratch, .. } = &self.cluster;
        let at_once = max_running.map(|most| format!("%{most}")).unwrap_or_default();
        let mut text = self.head("evolve", false, &[format!("--array=1-{shards}{at_once}")]);
        let _ = writeln!(text, "shard=$SLURM_ARRAY_TASK_ID\nkept={}/$shard", word(&self.out.join(SHARDS)));
        match scratch {
            None => text.push_str("work=$kept\n"),
            Some(scratch) => {
                let _ = writeln!(text, "work={scratch}/evol-$(id -u)-{}-$shard", self.name());
                text.push_str(FROM_SCRATCH);
            }
        }
        let command =
            format!("evolve --config {} --shard \"$shard/{shards}\" --out \"$work\"", self.config());
        text.push_str(&self.call(&command));
        if scratch.is_some() {
            text.push_str(&KEEP.replace("EVOL", &word(&self.cluster.evol)));
        }
        text + &end()
    }

    /// A name for the run's scratch folder, unique among the runs on a node.
    fn name(&self) -> String {
        blake3::hash(self.out.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned()
    }

    /// The arguments of a job after the shards.
    fn command(&self, name: &str) -> String {
        let device =
            self.cluster.device.as_ref().map(|device| format!(" --device {device}")).unwrap_or_default();
        match name {
            "merge" => format!("merge-runs {} {}", word(&self.out), word(&self.out.join(SHARDS))),
            "train" => format!("run {} --until baselines{device}", self.config()),
            "eval" => format!("run {} --until eval{device}", self.config()),
            _ => format!("run {}{device}", self.config()),
        }
    }

    fn config(&self) -> String {
        word(&self.dir.join(crate::run::files::CONFIG))
    }

    /// The `#SBATCH` lines of a script, and its signal handlers.
    fn head(&self, name: &str, wants_gpu: bool, own: &[String]) -> String {
        let run = self.out.file_name().unwrap_or_default().to_string_lossy();
        let which = if name == "evolve" { "-%a" } else { "" };
        // `%` starts a pattern in Slurm's log names.
        let log = self.dir.display().to_string().replace('%', "%%");
        let mut options = vec![
            format!("--job-name={}", quoted(&format!("{run}-{name}"))),
            format!("--output=\"{log}/{name}{which}.log\""),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            format!("--signal=B:USR1@{GRACE_SECONDS}"),
        ];
        options.extend_from_slice(own);
        options.extend_from_slice(&self.cluster.options);
        if wants_gpu {
            options.extend_from_slice(&self.cluster.train_options);
        }
        let mut text = "#!/bin/bash\n".to_owned();
        for option in options {
            let _ = writeln!(text, "#SBATCH {option}");
        }
        text.push_str(TRAPS);
        let task = if name == "evolve" { "-$SLURM_ARRAY_TASK_ID" } else { "" };
        let _ = writeln!(text, "count={}{task}", word(&self.dir.join(format!(".kills-{name}"))));
        text
    }

    /// Runs the program with `arguments`, forwards requests to stop, and stores its exit code in `code`.
    fn call(&self, arguments: &str) -> String {
        let threads = self.cluster.threads.map(|threads| format!(" --threads {threads}")).unwrap_or_default();
        format!("{} {arguments}{threads} &\n{WAIT}", word(&self.cluster.evol))
    }
}

fn word(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn end() -> String {
    END.replace("MAX_KILLS", &MAX_KILLS.to_string())
}

/// Signal handlers. Slurm sends `USR1` to the script before its time limit; the program then stops, and the
/// job is requeued. `scancel` signals the program directly; the script must survive it to keep the results.
const TRAPS: &str = r#"set -u
evol= again=
trap 'again=1; [ -z "$evol" ] || kill -TERM "$evol" 2>/dev/null' USR1
trap : TERM INT
"#;

const WAIT: &str = r#"evol=$!
wait "$evol"
# A signal interrupts `wait`, but not the process.
while kill -0 "$evol" 2>/dev/null; do wait "$evol"; done
wait "$evol"
code=$?
"#;

/// Copies the journal that an earlier job kept to the scratch folder, unless this node has a newer one.
const FROM_SCRATCH: &str = r#"mkdir -p "$kept" || exit 1
if [ -e "$kept/run.db" ] && ! [ "$work/run.db" -nt "$kept/run.db" ]; then
    rm -rf "$work" "$work.new"
    mkdir -p "$work.new" && cp -p "$kept"/* "$work.new"/ && mv "$work.new" "$work" || exit 1
fi
mkdir -p "$work" || exit 1
"#;

/// Copies the shard from scratch to OUT, each file whole or not at all. A killed process leaves part of its
/// journal in a write-ahead log; opening the journal merges it.
const KEEP: &str = r#"[ ! -s "$work/run.db-wal" ] || EVOL status "$work" >/dev/null 2>&1
copied=
if [ -e "$work/run.db" ] && [ ! -s "$work/run.db-wal" ]; then
    copied=1
    for file in "$work"/*; do
        cp -p "$file" "$kept/.${file##*/}.partial" && sync "$kept/.${file##*/}.partial" || copied=
    done
    if [ -n "$copied" ]; then
        rm -f "$kept/run.db-wal" "$kept/run.db-shm"
        for file in "$work"/*; do mv -f "$kept/.${file##*/}.partial" "$kept/${file##*/}" || copied=; done
    fi
fi
case $code$copied in
01) rm -rf "$work" ;;
0) echo "error: cannot copy $work to $kept" >&2; code=1 ;;
esac
"#;

const END: &str = r#"case $code in
130 | 143) # Stopped. Requeue if the reason was the time limit, not `scancel`.
    [ -z "$again" ] || scontrol requeue "$SLURM_JOB_ID" ;;
137) # Killed. Requeue a few times only, in case it is killed every time.
    kills=$(($(cat "$count" 2>/dev/null || echo 0) + 1))
    echo "$kills" >"$count"
    [ "$kills" -gt MAX_KILLS ] || scontrol requeue "$SLURM_JOB_ID" ;;
0) rm -f "$count" ;;
esac
exit "$code"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(scratch: Option<&str>) -> Jobs {
        Jobs {
            out: "/data/my run".into(),
            dir: "/data/my run/slurm".into(),
            cluster: Cluster {
                evol: "/opt/evol".into(),
                shards: 4,
                max_running: Some(2),
                options: vec!["--partition=cpu".to_owned()],
                train_options: vec!["--gres=gpu:1".to_owned()],
                threads: Some(8),
                device: Some("cuda:0".to_owned()),
                scratch: scratch.map(quoted),
            },
        }
    }

    #[test]
    fn scripts_say_what_slurm_and_the_program_need() {
        let scripts: std::collections::BTreeMap<String, String> = jobs(None).scripts().into_iter().collect();
        let evolve = &scripts["evolve.sh"];
        for line in [
            "#SBATCH --array=1-4%2",
            "#SBATCH --partition=cpu",
            "#SBATCH --requeue",
            "kept='/data/my run/shards'/$shard",
            "work=$kept",
            "/opt/evol evolve --config '/data/my run/slurm/config.toml' --shard \"$shard/4\" --out \"$work\" \
             --threads 8 &",
        ] {
            assert!(evolve.lines().any(|found| found == line), "{line}\n{evolve}");
        }
        assert!(!evolve.contains("gres"));
        assert!(scripts["train.sh"].contains("--until baselines --device cuda:0 --threads 8 &"));
        assert!(scripts["merge.sh"].contains("merge-runs '/data/my run' '/data/my run/shards'"));
        assert!(evolve.contains("-gt 3 ]") && evolve.contains("--signal=B:USR1@120"));
        for name in ["train.sh", "eval.sh", "report.sh"] {
            assert!(
                scripts[name].contains("--gres=gpu:1") && scripts[name].contains("--device cuda:0"),
                "{name}"
            );
        }
        let submit = &scripts[SUBMIT];
        assert!(
            submit.contains("--dependency=afterok:${evolve%%;*}") && submit.contains("afterok:${eval%%;*}")
        );
    }

    /// The shell itself says whether it can read them.
    #[test]
    fn scripts_are_shell() {
        let folder = tempfile::tempdir().unwrap();
        for scratch in [None, Some("/tmp/it's here")] {
            for (name, text) in jobs(scratch).scripts() {
                let path = folder.path().join(&name);
                std::fs::write(&path, &text).unwrap();
                let output = std::process::Command::new("bash").arg("-n").arg(&path).output().unwrap();
                assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
