-- What a live job needs of its node, as JSON; NULL is what a job needs that asks for nothing. It is read for every live
-- job at the start, where a million specs would be too much.
ALTER TABLE job_hot ADD COLUMN needs TEXT;
UPDATE job_hot SET needs = (
    SELECT json_object(
        'isolation', coalesce(job.spec ->> '$.isolation', 'auto'),
        'demands', json(coalesce(job.spec -> '$.demands', '{}')),
        'limits', json(coalesce(job.spec -> '$.limits', '{}')),
        'mounts', json(coalesce(job.spec -> '$.mounts', '[]')),
        'has_files', json(iif(job.spec -> '$.files' IS NULL, 'false', 'true')),
        'has_artifacts', json(iif(job.spec -> '$.artifacts' IS NULL, 'false', 'true'))
    )
    FROM job
    WHERE job.id = job_hot.id
        AND coalesce(
            job.spec -> '$.isolation', job.spec -> '$.demands', job.spec -> '$.limits', job.spec -> '$.mounts',
            job.spec -> '$.files', job.spec -> '$.artifacts'
        ) IS NOT NULL
);

-- Whether a node is given work, as JSON, and who says so; NULL is yes.
ALTER TABLE node ADD COLUMN eligibility TEXT;
